from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from seedfold.jobs.errors import UsageError
from seedfold.trainers.learning.checkpoint_files import (
    FIT_FILE,
    LAST_FILE,
    PREVIOUS_FILE,
    BestEpoch,
    Checkpoints,
    DamagedCheckpointError,
    FinishedFit,
    load_checkpoint,
    remove_unneeded_checkpoints,
    save_checkpoint,
)

WEIGHTS = {"weight": torch.arange(1000.0)}


def state(number: int, best: BestEpoch | None = None) -> dict[str, Any]:
    record = None if best is None else {"epoch": best.epoch, "value": best.value, "file": best.file}
    return {"number": number, "state_dict": WEIGHTS, "best": record}


@pytest.fixture
def files(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path)


def test_what_is_saved_is_loaded_without_executing_code(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / LAST_FILE, state(3))
    assert torch.equal(load_checkpoint(tmp_path / LAST_FILE)["state_dict"]["weight"], WEIGHTS["weight"])
    torch.load(tmp_path / LAST_FILE, weights_only=True)
    assert [path.name for path in tmp_path.iterdir()] == [LAST_FILE]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
def test_damage_anywhere_in_a_file_is_noticed(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path / LAST_FILE, state(3))
    content = bytearray((tmp_path / LAST_FILE).read_bytes())
    middle = content.find(torch.tensor(500.0).numpy().tobytes() + torch.tensor(501.0).numpy().tobytes())
    changed = bytearray(content)
    changed[middle + 2] ^= 1
    damaged: dict[str, bytes | bytearray] = {
        "cut": content[: len(content) // 2],
        "changed": changed,
        "empty": b"",
        "other": b"no checkpoint" * 99,
    }
    (tmp_path / LAST_FILE).write_bytes(damaged[damage])
    with pytest.raises(DamagedCheckpointError):
        load_checkpoint(tmp_path / LAST_FILE)


def test_the_newest_whole_state_is_found(files: Checkpoints) -> None:
    assert files.newest_state() is None
    files.save_state(state(1))
    files.save_state(state(2))
    newest = files.newest_state()
    assert newest is not None
    assert newest["number"] == 2


def test_a_damaged_state_falls_back_and_never_displaces_a_whole_one(
    files: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    files.save_state(state(1))
    files.save_state(state(2))
    (files.folder / LAST_FILE).write_bytes((files.folder / LAST_FILE).read_bytes()[:100])
    fallen_back = files.newest_state()
    assert fallen_back is not None
    assert fallen_back["number"] == 1
    assert "last.ckpt" in caplog.text
    files.save_state(state(2))
    (files.folder / LAST_FILE).unlink()
    again = files.newest_state()
    assert again is not None
    assert again["number"] == 1


def test_a_state_whose_best_weights_are_gone_is_not_used(files: Checkpoints) -> None:
    best = files.save_best(0, 0.5, WEIGHTS)
    files.save_state(state(1))
    files.save_state(state(2, best))
    (files.folder / best.file).unlink()
    fallen_back = files.newest_state()
    assert fallen_back is not None
    assert fallen_back["number"] == 1


def test_killed_between_the_two_renames_the_previous_state_is_there(files: Checkpoints) -> None:
    files.save_state(state(1))
    (files.folder / LAST_FILE).replace(files.folder / PREVIOUS_FILE)
    (files.folder / f".{LAST_FILE}.4711").write_bytes(b"half a state")
    newest = files.newest_state()
    assert newest is not None
    assert newest["number"] == 1


def finished(files: Checkpoints) -> FinishedFit:
    first, best = files.save_best(0, 0.5, WEIGHTS), files.save_best(1, 0.4, WEIGHTS)
    files.save_state(state(1, first))
    files.save_state(state(2, best))
    fit = FinishedFit(2, best, {"last": LAST_FILE, "best": best.file}, ({"epoch": 0, "val/loss": 0.1 + 0.2},))
    files.record_finished(fit)
    return fit


def test_a_finished_fit_comes_back_exactly_and_keeps_only_its_weights(files: Checkpoints) -> None:
    assert files.finished_fit() is None
    fit = finished(files)
    assert files.finished_fit() == fit
    assert sorted(path.name for path in files.folder.iterdir()) == ["best-000001.ckpt", FIT_FILE, LAST_FILE]
    assert files.weights_file(fit, "best") == files.folder / "best-000001.ckpt"


def test_an_unreadable_record_of_a_fit_trains_again(files: Checkpoints) -> None:
    (files.folder / FIT_FILE).write_text('{"format": 1, "epo')
    assert files.finished_fit() is None


@pytest.mark.parametrize(
    ("keep", "left", "roles"),
    [
        ("last+best", {"best-000001.ckpt", FIT_FILE, LAST_FILE}, {"last", "best"}),
        ("last", {FIT_FILE, LAST_FILE}, {"last"}),
        ("none", set(), None),
    ],
)
def test_cleaning_up_leaves_what_is_kept(files: Checkpoints, keep: str, left: set[str], roles: set[str] | None) -> None:
    finished(files)
    (files.folder / f".{LAST_FILE}.4711").write_bytes(b"half a state")
    before = sum(path.stat().st_size for path in files.folder.glob("*.ckpt"))
    freed = remove_unneeded_checkpoints(files.folder, keep)
    assert {path.name for path in files.folder.iterdir()} == left
    assert freed == before - sum(path.stat().st_size for path in files.folder.glob("*.ckpt")) + len(b"half a state")
    if roles is not None:
        assert set(json.loads((files.folder / FIT_FILE).read_text())["weights"]) == roles


def test_weights_that_were_not_kept_are_named(files: Checkpoints) -> None:
    finished(files)
    remove_unneeded_checkpoints(files.folder, "last")
    fit = files.finished_fit()
    assert fit is not None
    with pytest.raises(DamagedCheckpointError, match="this fit has no best weights; it has last"):
        files.weights_file(fit, "best")


def test_cleaning_up_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"checkpoint.keep: 'most'"):
        remove_unneeded_checkpoints(tmp_path, "most")


def positioned(number: int, best: BestEpoch | None = None) -> dict[str, Any]:
    return {**state(number, best), "position": {"epoch": number, "step": 7}}


@pytest.mark.parametrize(("keep", "kept"), [("all", [1, 2, 3, 4]), (2, [3, 4])])
def test_states_that_are_kept_can_be_gone_back_to(tmp_path: Path, keep: str | int, kept: list[int]) -> None:
    files = Checkpoints(tmp_path, keep)
    best = files.save_best(0, 0.5, WEIGHTS)
    for number in (1, 2, 3, 4):
        files.save_state(positioned(number, best if number < 4 else None))
        files.remove_old_best()
    names = [f"state-{number:06d}-00000007.ckpt" for number in kept]
    assert sorted(path.name for path in tmp_path.glob("state-*")) == names
    for name in (LAST_FILE, PREVIOUS_FILE, names[-1]):
        (tmp_path / name).unlink()
    newest = files.newest_state()
    assert newest is not None
    assert newest["number"] == 3, "and its best weights are still there"
    files.save_state(positioned(4))
    remove_unneeded_checkpoints(tmp_path, keep)
    assert sorted(path.name for path in tmp_path.glob("state-*")) == names
    assert load_checkpoint(tmp_path / names[0])["number"] == kept[0]
    remove_unneeded_checkpoints(tmp_path, "last+best")
    assert not list(tmp_path.glob("state-*"))
