"""gc names what may go, deletes only when told, and never what anybody needs."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from toyproject import Toy, read_files, wait_until

from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.garbage_collection import DeletableFinder, DeletablePath, delete_paths, size_of


def items(toy: Toy, *options: str, study: str = "light") -> dict[str, set[str]]:
    """What `gc` would delete: names of files and folders by kind."""
    found: dict[str, set[str]] = {}
    for item in toy.json_of("gc", study, *options)["items"]:
        found.setdefault(item["kind"], set()).add(Path(item["path"]).name)
    return found


def rows(toy: Toy, study: str) -> list[dict[str, str]]:
    return list(csv.DictReader(toy.output_of("results", study, "runs", "--format", "csv").splitlines()))


def test_a_finished_study_has_only_checkpoints_to_give(toy: Toy) -> None:
    toy.launch("sleep_s=0.05", "seed=0", experiment="light")
    toy.wait_for_workers()
    before = read_files(toy.root)
    assert items(toy) == {}
    assert items(toy, "--superseded", "--failed") == {}
    assert items(toy, "--checkpoints") == {"checkpoints": {"slept.txt"}}
    assert read_files(toy.root) == before, "listing deleted something"
    told = toy.json_of("gc", "light", "--checkpoints", "--yes")
    assert told["freed"] == told["bytes"] == sum(item["bytes"] for item in told["items"]) > 0
    assert not list(toy.root.rglob("slept.txt"))
    assert not list(toy.root.rglob(".trash-*"))
    assert toy.states("light") == {"done": 3}
    assert len(rows(toy, "light")) == 3
    assert toy.output_of("logs", "seed=0", "fold=0") == "seed 0, attempt 1\n"


@pytest.mark.slow
def test_what_was_replaced_goes_and_what_replaced_it_stays(toy: Toy) -> None:
    toy.launch("seed=0", "signal=1.0", experiment="light")
    toy.launch("seed=0", "--replace", experiment="light")
    right = rows(toy, "light")
    assert len(items(toy, "--superseded")["superseded"]) == 3 + 3
    toy.output_of("gc", "light", "--superseded", "--yes")
    assert rows(toy, "light") == right
    assert len(list((toy.study("light").path / "store").glob("*/*"))) == 3
    assert items(toy, "--superseded") == {}
    assert len(toy.output_of("status", "light", "--superseded").splitlines()) == 3


@pytest.mark.slow
def test_results_that_another_study_uses_stay(toy: Toy) -> None:
    toy.launch("seed=0", "signal=1.0", experiment="light")
    toy.launch("seed=0", "signal=1.0", "study=second", experiment="light")
    toy.launch("seed=0", "--replace", experiment="light")
    assert items(toy, "--superseded") == {}
    toy.output_of("gc", "light", "--superseded", "--checkpoints", "--failed", "--yes")
    assert toy.states("second") == {"done": 3}
    assert len(rows(toy, "second")) == 3


def test_failed_jobs_give_their_checkpoints_and_keep_their_logs(toy: Toy) -> None:
    (toy.data / "broken-0").touch()
    toy.launch("seed=0,1", "fold=0", experiment="light")
    failed = toy.json_of("status", "light")["failures"][0]
    checkpoint = Path(failed["log"]).parent / "last.ckpt"
    checkpoint.write_text("weights")
    assert items(toy, "--failed") == {"leftovers": {"staging.1"}, "failed": {"last.ckpt"}}
    toy.output_of("gc", "light", "--failed", "--yes")
    assert not checkpoint.exists()
    assert Path(failed["log"]).exists()


@pytest.mark.slow
def test_what_jobs_at_work_need_stays(toy: Toy) -> None:
    toy.launch("--detach", "sleep_s=600", "seed=0", "fold=0", experiment="light")
    wait_until(lambda: list(toy.root.rglob("slept.txt")))
    before = set(read_files(toy.root))
    assert items(toy, "--checkpoints", "--superseded", "--failed") == {}
    toy.output_of("gc", "light", "--checkpoints", "--superseded", "--failed", "--yes")
    assert before <= set(read_files(toy.root))


@pytest.mark.slow
def test_interrupted_jobs_keep_what_they_continue_from(toy: Toy) -> None:
    toy.launch("--detach", "sleep_s=600", "seed=0", "fold=0", experiment="light")
    wait_until(lambda: list(toy.root.rglob("slept.txt")))
    toy.kill_workers()
    wait_until(lambda: toy.states("light") == {"lost": 1})
    assert items(toy, "--checkpoints", "--superseded", "--failed") == {}


@pytest.mark.slow
def test_older_results_and_unfinished_ones_are_left_over(toy: Toy) -> None:
    toy.launch("seed=0", "fold=0", experiment="light")
    toy.launch("seed=0", "fold=0", "--rerun", "seed=0", experiment="light")
    job = toy.json_of("show", "seed=0")
    assert job["result"]["attempt"] == 2
    staging = Path(job["attempts"][0]["log"]).parent / "staging.1"
    staging.mkdir()
    (staging / "half.parquet").write_text("half")
    trash = Path(job["result"]["folder"]).parent / ".trash-123"
    trash.mkdir()
    assert items(toy) == {"leftovers": {"staging.1", f"{job['id']}.1", ".trash-123"}}
    toy.output_of("gc", "light", "--yes")
    assert items(toy) == {}
    assert toy.states("light") == {"done": 1}
    assert len(rows(toy, "light")) == 1


def test_parts_of_files_and_records_whose_writer_was_killed_are_left_over(toy: Toy) -> None:
    toy.launch("--limit", "1", experiment="light")
    [log] = toy.study("light").path.glob("jobs/*/*/log.1.txt")
    (log.parent / "records").mkdir()
    claims = toy.study("light").path / "claims" / "ab"
    claims.mkdir(exist_ok=True)
    old, new = claims / f".{'ab' * 32}.1.0123456789ab", claims / f".{'ab' * 32}.2.0123456789ab"
    parts = [
        toy.study("light").path / each / f".{each}-part.0123456789ab" for each in ("", "turns", "keepers", "search")
    ]
    for file in (old, new, *parts):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    for file in (old, *parts):
        os.utime(file, (1e9, 1e9))
    assert items(toy) == {"leftovers": {old.name, "records", *(file.name for file in parts)}}
    toy.output_of("gc", "light", "--yes")
    assert not any(file.exists() for file in (old, *parts))
    assert new.exists()


def test_deleting_passes_over_what_has_gone(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_bytes(b"x" * 100)
    there = DeletablePath("leftovers", tmp_path / "here", "j", "why", size_of(tmp_path / "here"))
    gone = DeletablePath("leftovers", tmp_path / "gone", "j", "why", 7)
    assert delete_paths([gone, there]) == 100
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_each_thing_is_named_once(toy: Toy) -> None:
    toy.launch("seed=0", "signal=1.0", "sleep_s=0.05", experiment="light")
    toy.launch("seed=0", "--replace", experiment="light")
    paths = [one.path for one in DeletableFinder(Root(toy.root), "light").deletable]
    assert len(paths) == len(set(paths)) > 0
    inside_others = [path for path in paths for other in paths if other in path.parents]
    assert inside_others == []
