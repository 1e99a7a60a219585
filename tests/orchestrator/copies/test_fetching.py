"""Copies of studies: what they hold, that they agree while work goes on, and that they are only looked at."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from toyproject import SEEDFOLD, Toy, read_files, wait_until

import seedfold as sf
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.copies.fetching import FetchResult, fetch
from seedfold.orchestrator.copies.source import LocalSource
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.overview import Overview

MANY = ("seed=range(0,40)", "cluster.slots=4", "--detach")


def of(toy: Toy, folder: Path) -> Toy:
    """The project as it is seen where the copy is."""
    return replace(toy, root=folder, environment={**toy.environment, "SEEDFOLD_ROOT": str(folder)})


def bring(toy: Toy, folder: Path, study: str = "light", checkpoints: bool = False) -> FetchResult:
    return fetch(LocalSource(Root(toy.root)), "", study, Root(folder), checkpoints, lambda done, total: None)


def states(folder: Path, study: str = "light") -> Counter[str]:
    return Counter(view.state for view in Overview(Root(folder), study).job_views())


def files(folder: Path) -> dict[str, bytes]:
    """What a copy holds, but for where it comes from and what fetches that were killed left."""
    kept = read_files(folder).items()
    return {name: data for name, data in kept if not Path(name).name.startswith(".") and name != "home.json"}


def test_a_copy_answers_as_its_home_does(finished: Toy, tmp_path: Path) -> None:
    copy = of(finished, tmp_path / "copy")
    assert "toy: " in copy.output_of("fetch", str(finished.root), "toy")
    for asked in (["results", "toy", "runs", "--format", "csv"], ["explain", "seed=0 fold=0", "seed=1 fold=0"]):
        assert copy.output_of(*asked) == finished.output_of(*asked)
    home, here = finished.json_of("status", "toy"), copy.json_of("status", "toy")
    assert here.pop("copy")["source"] == str(finished.root)
    assert here == home
    assert str(finished.root) in copy.output_of("status", "toy")
    assert copy.output_of("logs", "seed=0", "fold=0", "-f") == "seed 0, attempt 1\n"
    assert str(tmp_path / "copy") in copy.output_of("show", "seed=0", "fold=0")
    assert copy.output_of("report", "toy").startswith(str(tmp_path / "copy"))
    assert copy.output_of("watch", "toy")


def test_a_notebook_reads_a_copy(finished: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(finished, tmp_path, "toy")
    monkeypatch.chdir(finished.folder)
    study = sf.study("toy", tmp_path, config_dirs=["conf"])
    assert set(study.status()["state"]) == {"done"}
    assert study.metrics().equals(sf.study("toy", finished.root).metrics())
    assert study.job(seed=0, fold=1).log == "seed 0, attempt 1\n"
    for act in (lambda: study.launch("seed=9"), study.resume, study.cancel):
        with pytest.raises(UsageError, match="is a copy, which is only for reading"):
            act()


@pytest.mark.parametrize(
    "words",
    [
        ["launch", "--config-dir", "conf", "experiment=toy"],
        ["launch", "--config-dir", "conf", "experiment=toy", "seed=7"],
        ["resume", "toy"],
        ["run", "seed=0", "fold=0"],
        ["cancel", "toy"],
        ["advance", "toy"],
        ["gc", "toy"],
    ],
    ids=" ".join,
)
def test_nothing_is_done_in_a_copy(finished: Toy, tmp_path: Path, words: list[str]) -> None:
    bring(finished, tmp_path, "toy")
    copy, before = of(finished, tmp_path), read_files(tmp_path)
    ended = copy.run_in_process(*words)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert str(finished.root) in ended.stderr
    assert read_files(tmp_path) == before


@pytest.mark.slow
def test_only_what_is_new_moves(toy: Toy, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert toy.launch("seed=0", experiment="light").returncode == 0
    toy.wait_for_workers()
    first = bring(toy, copy)
    assert bring(toy, copy) == FetchResult({"light": 0}, 0)
    assert toy.launch("seed=0,1", experiment="light").returncode == 0
    toy.wait_for_workers()
    second = bring(toy, copy)
    assert 0 < second.files["light"] < 1.5 * first.files["light"]
    assert states(copy) == {"done": 6}
    assert "slept.txt" not in "".join(files(copy / "light"))
    bring(toy, copy, checkpoints=True)
    assert bring(toy, copy, checkpoints=True) == FetchResult({"light": 0}, 0)


@pytest.mark.slow
def test_a_study_that_has_done_jobs_of_it_comes_along(toy: Toy, tmp_path: Path) -> None:
    toy.launch("seed=0", experiment="light")
    toy.launch("seed=0,1", "study=more", experiment="light")
    toy.wait_for_workers()
    assert set(bring(toy, tmp_path, "more").files) == {"more", "light"}
    assert states(tmp_path, "more") == {"done": 6}


def test_a_copy_is_no_other_study(finished: Toy, tmp_path: Path) -> None:
    bring(finished, tmp_path, "toy")
    copy = of(finished, tmp_path)
    refused = [
        finished.run_in_process("fetch", str(tmp_path), "toy", "--root", str(tmp_path / "third")),
        finished.run_in_process("fetch", str(tmp_path / "none"), "toy"),
        finished.run_in_process("fetch", str(finished.root), "toy"),
        copy.run_in_process("fetch", str(finished.root), "tyo"),
    ]
    says = ["is itself a copy", "no such folder", "is the root", "did you mean 'toy'"]
    for ended, text in zip(refused, says, strict=True):
        assert ended.returncode == 2
        assert text in ended.stderr
    assert not (tmp_path / "third").exists()


@pytest.fixture
def at_work(toy: Toy) -> Iterator[Toy]:
    """A project whose study is being worked on."""
    assert toy.launch(*MANY, experiment="light").returncode == 0
    yield toy
    toy.wait_for_workers()


@pytest.mark.slow
def test_a_copy_of_a_study_at_work_agrees_with_itself(at_work: Toy, tmp_path: Path) -> None:
    """What is told to be done is there, and nobody seems to have died, at whatever moment the copy was made."""
    copy, done = tmp_path / "copy", [0]
    while done[-1] < 120:
        bring(at_work, copy)
        found = states(copy)
        assert set(found) <= {"done", "running", "submitted", "waiting"}
        assert found["done"] >= done[-1]
        done.append(found["done"])
    print(f"{len(set(done))} different moments")


@pytest.mark.slow
def test_running_jobs_run_in_the_copy_long_after(toy: Toy, tmp_path: Path) -> None:
    """A copy does not age: nobody asks whether the processes of its home are still there."""
    toy.launch("sleep_s=600", "seed=0", "fold=0", "--detach", experiment="light")
    wait_until(lambda: toy.states("light") == {"running": 1})
    bring(toy, tmp_path / "copy")
    toy.output_of("cancel", "light")
    toy.wait_for_workers()
    assert toy.states("light") == {"cancelled": 1}
    assert states(tmp_path / "copy") == {"running": 1}
    os.utime(tmp_path / "copy" / "light" / "home.json", (1, 1))
    assert states(tmp_path / "copy") == {"running": 1}
    bring(toy, tmp_path / "copy")
    assert states(tmp_path / "copy") == {"cancelled": 1}


@pytest.mark.slow
def test_jobs_at_work_in_a_copy_keep_no_other_study_waiting(toy: Toy, tmp_path: Path) -> None:
    toy.hold_jobs()
    toy.launch("seed=0", "fold=0", "--detach", experiment="light")
    wait_until(lambda: toy.states("light") == {"running": 1})
    bring(toy, tmp_path / "copy")
    toy.release_jobs()
    copy = of(toy, tmp_path / "copy")
    assert copy.launch("seed=0", "fold=0", "study=mine", experiment="light").returncode == 0
    assert copy.states("mine") == {"done": 1}
    toy.wait_for_workers()


@pytest.mark.slow
def test_fetches_that_are_killed_come_to_the_same(toy: Toy, tmp_path: Path) -> None:
    assert toy.launch(*MANY[:2], "--wait", experiment="light").returncode == 0
    toy.wait_for_workers()
    whole, copy = tmp_path / "whole", tmp_path / "copy"
    bring(toy, whole)
    for share in (1, 80, 240):
        kill_when_there_are(share, toy, copy)
        if (copy / "light" / "plans").exists():
            assert set(states(copy)) <= {"done", "waiting"}
    bring(toy, copy)
    assert states(copy) == {"done": 120}
    assert files(copy / "light") == files(whole / "light")


def kill_when_there_are(number: int, toy: Toy, copy: Path) -> None:
    """Fetch, and kill it as soon as there are so many files."""
    words = [SEEDFOLD, "fetch", str(toy.root), "light", "--root", str(copy)]
    process = subprocess.Popen(words, cwd=toy.folder, env=toy.environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if sum(1 for _ in copy.rglob("*.*")) > number:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
