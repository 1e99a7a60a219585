"""Weights that an earlier attempt has trained: who goes on from them, and what is known of their code."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from toyproject import Toy

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.worker.fit_folders import clear_for_rerun, find_training_code, note_training

TRAINING = """
RATE = 1


def run(work):
    fit, weights = work.folder / "fit.json", work.folder / "weights.txt"
    if not fit.exists():
        weights.write_text(str(RATE))
        fit.write_text("{}")
    (work.staging / "answer.txt").write_text(weights.read_text())
"""
RUN = ("run=toy.training.run", "seed=0", "fold=0")


def answers(toy: Toy) -> list[str]:
    files = sorted(toy.study("light").path.glob("store/*/*/answer.txt"), key=lambda path: path.stat().st_mtime_ns)
    return [file.read_text() for file in files]


def codes(toy: Toy) -> list[str | None]:
    rows = csv.DictReader(toy.output_of("results", "light", "runs", "--format", "csv").splitlines())
    return [row.get("code") for row in rows]


@pytest.mark.slow
def test_a_job_that_is_done_again_trains_again(toy: Toy) -> None:
    file = toy.folder / "toy" / "training.py"
    file.write_text(TRAINING)
    toy.launch(*RUN, experiment="light")
    file.write_text(TRAINING.replace("RATE = 1", "RATE = 2"))
    toy.launch(*RUN, "--rerun", "stale", experiment="light")
    assert answers(toy) == ["1", "2"]
    assert toy.json_of("status", "light")["stale"]["code"] == 0


@pytest.mark.slow
def test_what_old_weights_predict_is_old(toy: Toy) -> None:
    file = toy.folder / "toy" / "training.py"
    file.write_text(TRAINING)
    toy.launch(*RUN, experiment="light")
    file.write_text(TRAINING.replace("RATE = 1", "RATE = 2"))
    # The same training, and other predictions from it.
    toy.launch(*RUN, "+predict.passes=2", "--replace", experiment="light")
    toy.launch("run=toy.training.run", "seed=1", "fold=0", "+predict.passes=2", experiment="light")
    assert answers(toy) == ["1", "1", "2"]
    assert codes(toy) == ["old", "now"]


def test_a_folder_is_cleared_once_for_a_submission(tmp_path: Path) -> None:
    folder, intent = tmp_path / "jobs" / "ab" / "abc", tmp_path / "intent.json"
    (folder / "inner").mkdir(parents=True)
    for name in ("log.1.txt", "last.ckpt", "fit.json", "inner/file"):
        (folder / name).touch()
    intent.touch()
    clear_for_rerun(folder, intent)
    assert {path.name for path in folder.iterdir()} == {"log.1.txt", "cleared"}
    (folder / "last.ckpt").touch()
    clear_for_rerun(folder, intent)
    assert (folder / "last.ckpt").exists()
    later = (folder / "cleared").stat().st_mtime_ns + 1_000_000
    os.utime(intent, ns=(later, later))
    clear_for_rerun(folder, intent)
    assert not (folder / "last.ckpt").exists()


def test_the_record_comes_along_from_another_study(tmp_path: Path) -> None:
    one, two = StudyFolder(tmp_path / "one"), StudyFolder(tmp_path / "two")
    folder = one.job_folder("abc")
    folder.mkdir(parents=True)
    assert find_training_code(folder, two) is None
    one.code_record_file("ee").parent.mkdir()
    one.code_record_file("ee").write_text("{}")
    note_training(folder, "ee")
    assert find_training_code(folder, one) == find_training_code(folder, two) == "ee"
    assert two.code_record_file("ee").read_text() == "{}"
