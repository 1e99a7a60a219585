"""How far a running job is."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.results.recording import progress
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.recording.progress import JobProgress, ProgressWriter, read_progress


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    job = JobDescription("a" * 64, "s", "train", {"seed": 1}, {"seed": 1}, (), Resources(), "toy")
    attempt = Attempt(job, 2, tmp_path / "job")
    attempt.write()
    return attempt


def test_the_pace_is_that_of_this_attempt(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(progress.time, "time", lambda: next(clock))
    write = ProgressWriter(attempt)
    write(30, 40)
    write(32, 40)
    read = read_progress(attempt)
    assert read == JobProgress(done=32, total=40, time=110.0, first_done=30, first_time=100.0)
    assert read.seconds_left(110.0) == 40.0
    assert read.seconds_left(125.0) == 25.0
    assert read.seconds_left(900.0) == 0.0


def test_no_pace_is_known_at_the_beginning_and_nothing_is_left_at_the_end() -> None:
    assert JobProgress(3, 10, 5.0, 3, 5.0).seconds_left(6.0) is None
    assert JobProgress(10, 10, 5.0, 3, 1.0).seconds_left(6.0) == 0.0


def test_calls_at_once_write_one_file_and_the_last_call_is_always_written(attempt: Attempt) -> None:
    write = ProgressWriter(attempt)
    for done in range(100):
        write(done, 100)
    assert json.loads(attempt.progress_file.read_text())["done"] < 99
    write(100, 100)
    assert json.loads(attempt.progress_file.read_text())["done"] == 100


def test_an_attempt_that_has_ended_leaves_nothing(attempt: Attempt) -> None:
    ProgressWriter(attempt)(1, 2)
    attempt.end()
    assert read_progress(attempt) is None
    assert not attempt.records.exists()


def test_a_file_that_cannot_be_written_is_a_warning(attempt: Attempt, caplog: pytest.LogCaptureFixture) -> None:
    attempt.end()
    with caplog.at_level(logging.WARNING):
        ProgressWriter(attempt)(1, 2)
    assert "progress of the job cannot be written" in caplog.text
