from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UnreachableError
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import DataFailure
from seedfold.results.store.predictions import write_predictions
from seedfold.results.store.published import DamagedError, find_damage, load_result, publish

JOB = JobDescription("ab" * 32, "s", "train", {"seed": 1}, {"seed": 1}, (), Resources(), "a.b", "c")
RECORD: dict[str, Any] = {
    "id": JOB.id,
    "study": "s",
    "stage": "train",
    "axes": {"seed": 1},
    "attempt": 2,
    "run": "a.b",
    "config": {"seed": 1},
    "parents": {"cd" * 32: 1},
    "reads": {"data.csv": "00"},
    "code": "ee",
    "provenance": {"host": "node1"},
    "started": 100.0,
    "ended": 112.5,
}


def stage(folder: Path, rows: int = 40) -> Path:
    folder.mkdir(parents=True)
    ids = [f"s{i}" for i in range(rows)]
    logits = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    targets = np.arange(rows) % 3
    for split in ("val", "test"):
        write_predictions(
            folder, split, job=JOB, sample_ids=ids, targets=targets, logits={"main": logits}, expected=ids
        )
    (folder / "epochs.csv").write_text("epoch,loss\n0,1.0\n")
    (folder / "masks").mkdir()
    np.savez(folder / "masks" / "a.npz", x=np.arange(10))
    return folder


def published(tmp_path: Path) -> Path:
    final = tmp_path / "store" / "ab" / f"{JOB.id}.2"
    publish(stage(tmp_path / "staging"), final, RECORD)
    return final


def test_a_published_result_says_what_it_holds(tmp_path: Path) -> None:
    final = published(tmp_path)
    result = load_result(final)
    assert not (tmp_path / "staging").exists()
    assert {name: result.to_dict()[name] for name in RECORD} == RECORD
    assert result.seconds == 12.5
    assert set(result.files) == {"predictions.val.parquet", "predictions.test.parquet", "epochs.csv", "masks/a.npz"}
    assert result.files["predictions.val.parquet"]["rows"] == 40
    assert result.files["epochs.csv"]["rows"] is None
    assert {(each["split"], each["head"]) for each in result.metrics} == {("val", "main"), ("test", "main")}
    accuracy = [each["value"] for each in result.metrics if each["metric"] == "accuracy"]
    logits = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    assert accuracy == [pytest.approx((logits.argmax(1) == np.arange(40) % 3).mean())] * 2
    assert find_damage(final) is find_damage(final, check_content=True) is find_damage(final, result.files) is None


def test_a_result_without_predictions_has_no_metrics(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    publish(tmp_path / "staging", tmp_path / "store" / "x", RECORD)
    assert load_result(tmp_path / "store" / "x").metrics == ()
    assert find_damage(tmp_path / "store" / "x") is None


def test_publishing_twice_changes_nothing(tmp_path: Path) -> None:
    final = published(tmp_path)
    before = (final / "result.json").read_bytes()
    again = stage(tmp_path / "again")
    with pytest.raises(FileExistsError):
        publish(again, final, {**RECORD, "attempt": 3})
    assert (final / "result.json").read_bytes() == before
    assert again.is_dir()


def test_publishing_beside_somebody_who_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = published(tmp_path)
    staging = stage(tmp_path / "again")
    monkeypatch.setattr("seedfold.results.store.published._refuse_existing", lambda folder: None)
    with pytest.raises(OSError, match=r"not empty|exists"):
        publish(staging, final, RECORD)
    assert load_result(final).attempt == 2


def test_a_record_must_be_complete(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="provenance"):
        publish(stage(tmp_path / "staging"), tmp_path / "x", {k: v for k, v in RECORD.items() if k != "provenance"})
    assert not (tmp_path / "x").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    staging = stage(tmp_path / "staging")
    (staging / "weights").symlink_to(tmp_path)
    with pytest.raises(DataFailure, match="weights: is not a regular file"):
        publish(staging, tmp_path / "x", RECORD)


def test_damage_names_the_file(tmp_path: Path) -> None:
    final = published(tmp_path)
    files = load_result(final).files
    victim = final / "predictions.val.parquet"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:812])
    reason = f"predictions.val.parquet: 812 bytes, expected {len(whole)}"
    assert find_damage(final) == find_damage(final, files) == reason
    victim.unlink()
    assert find_damage(final, files) == "predictions.val.parquet: missing"
    victim.write_bytes(whole)
    assert find_damage(final, files) is None
    (final / "result.json").unlink()
    assert "result.json: missing" in str(find_damage(final))
    assert find_damage(final, files) == "result.json: missing"
    assert find_damage(tmp_path / "nowhere", files) == "result.json: missing"


def test_a_flipped_bit_is_seen_when_the_time_changed_or_when_looking_deep(tmp_path: Path) -> None:
    final = published(tmp_path)
    victim = final / "predictions.val.parquet"
    times = victim.stat()
    content = bytearray(victim.read_bytes())
    content[100] ^= 1
    victim.write_bytes(content)
    assert find_damage(final) == "predictions.val.parquet: its content has changed"
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert find_damage(final) is None
    assert find_damage(final, check_content=True) == "predictions.val.parquet: its content has changed"


def test_a_copied_root_is_whole(tmp_path: Path) -> None:
    final = published(tmp_path)
    copied = shutil.copytree(final, tmp_path / "copy", copy_function=shutil.copyfile)
    for file in copied.rglob("*.parquet"):
        os.utime(file, (1, 1))
    assert find_damage(copied) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", json.dumps(RECORD)])
def test_a_damaged_record_is_one_line(tmp_path: Path, text: str) -> None:
    final = published(tmp_path)
    (final / "result.json").write_text(text)
    with pytest.raises(DamagedError, match=r"result\.json: damaged .*; run the job again") as caught:
        load_result(final)
    assert isinstance(caught.value, UnreachableError)
    assert find_damage(final).startswith("result.json: damaged")  # type: ignore[union-attr]


def test_the_folder_appears_only_when_everything_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever system call fails, the final folder is whole or absent."""
    synced = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        assert {"predictions.val.parquet", "epochs.csv", "a.npz", "result.json", "masks", "staging"} <= set(synced)
        return rename(self, target)

    def fsync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", watched)
    published(tmp_path)
    assert "ab" in synced


def _publish_and_wait(staging: Path, final: Path, begun: Any) -> None:
    begun.set()
    publish(staging, final, RECORD)
    time.sleep(600)


@pytest.mark.slow
def test_killed_at_any_instant_the_final_folder_is_whole_or_absent(tmp_path: Path) -> None:
    template = stage(tmp_path / "template")
    draw = random.Random(7)
    outcomes: list[bool] = []
    longest = _life(template, tmp_path / "first", None)
    # A longer or shorter life where the last one was too short or too long: the disk is as fast as it likes.
    while len(outcomes) < 30 or len(set(outcomes)) == 1:
        folder = tmp_path / str(len(outcomes))
        _life(template, folder, draw.uniform(0, longest))
        final, staging = folder / "store" / "final", folder / "staging"
        if final.exists():
            assert find_damage(final, check_content=True) is None
            assert load_result(final).attempt == 2
        else:
            assert staging.exists()
        outcomes.append(final.exists())
        longest *= 0.8 if outcomes[-1] else 1.25


def _life(template: Path, folder: Path, seconds: float | None) -> float:
    """Publish in a child and kill it after so many seconds, or when it is through; return how long it lived."""
    staging, final = folder / "staging", folder / "store" / "final"
    shutil.copytree(template, staging)
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    child = context.Process(target=_publish_and_wait, args=(staging, final, begun))
    child.start()
    begun.wait()
    start = time.monotonic()
    if seconds is not None:
        time.sleep(seconds)
    while seconds is None and not final.exists():
        time.sleep(0.001)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    return time.monotonic() - start
