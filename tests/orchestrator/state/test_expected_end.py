"""When a study will end, and what its running jobs are doing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.state.expected_end import seconds_to_end
from seedfold.orchestrator.state.job_states import JobState, StateName
from seedfold.orchestrator.state.overview import JobView
from seedfold.orchestrator.state.running_jobs import RunningJob, find_running
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.recording.metric_log import LogKind, append_metrics
from seedfold.results.recording.progress import ProgressWriter


def make_view(folder: Path, number: int, state: StateName, seconds: float = 0.0, **config: Any) -> JobView:
    stage, ago = config.pop("stage", "train"), config.pop("ago", 5)
    job = JobDescription(f"{number:064x}", "s", stage, {"seed": number}, config, (), Resources(), "toy")
    event = {"e": "x", "t": time.time() - ago, "seconds": seconds, "process": {"host": "n1"}}
    return JobView(job, JobState(state, StudyFolder(folder / "toy"), 1, event=event))


def running(view: JobView, elapsed_s: float, left_s: float | None = None) -> RunningJob:
    return RunningJob(view.job, "n1", elapsed_s, left_s=left_s)


def test_jobs_to_come_take_as_long_as_the_median_of_their_stage(tmp_path: Path) -> None:
    took = (10.0, 20.0, 600.0)
    done = [make_view(tmp_path, number, "done", seconds, ago=900) for number, seconds in enumerate(took)]
    to_come = [make_view(tmp_path, 10 + number, "submitted") for number in range(4)]
    now = [make_view(tmp_path, 20 + number, "running") for number in range(2)]
    told = [running(now[0], 15.0), running(now[1], 15.0, left_s=7.0)]
    assert seconds_to_end([*done, *to_come, *now], told) == (4 * 20 + 5 + 7) / 2


@pytest.mark.parametrize("running_now", [0, 1, 2])
def test_a_slot_that_is_empty_between_two_jobs_does_not_move_the_end(tmp_path: Path, running_now: int) -> None:
    done = [make_view(tmp_path, 10 * slot + at, "done", 100.0, ago=1 + 101 * at) for slot in (0, 1) for at in range(4)]
    to_come = [make_view(tmp_path, 100 + number, "submitted") for number in range(10)]
    now = [make_view(tmp_path, 200 + number, "running") for number in range(running_now)]
    found = seconds_to_end([*done, *to_come, *now], [running(one, 1.0) for one in now])
    assert found == pytest.approx((10 * 100 + 99 * running_now) / 2, rel=0.1)


def test_no_study_ends_before_its_longest_job(tmp_path: Path) -> None:
    now = [make_view(tmp_path, number, "running") for number in range(2)]
    assert seconds_to_end(now, [running(now[0], 5.0, 300.0), running(now[1], 5.0, 10.0)]) == 300.0


def test_without_a_done_job_the_running_ones_tell_how_long_a_job_takes(tmp_path: Path) -> None:
    now, later = make_view(tmp_path, 1, "running"), make_view(tmp_path, 2, "waiting")
    assert seconds_to_end([now, later], [running(now, 10.0, left_s=30.0)]) == 30 + 40


def test_nothing_is_said_where_nothing_is_known_or_nothing_goes_on(tmp_path: Path) -> None:
    done, later = make_view(tmp_path, 1, "done", 10.0), make_view(tmp_path, 2, "waiting")
    other = make_view(tmp_path, 3, "submitted", stage="sum")
    assert seconds_to_end([done, later], []) is None
    assert seconds_to_end([done, later, other], []) is None
    assert seconds_to_end([done, make_view(tmp_path, 4, "submitted")], []) == 10.0


@pytest.mark.parametrize("kind", ["epochs", "metrics"])
def test_a_running_job_shows_its_epoch_and_the_metric_that_it_watches(tmp_path: Path, kind: LogKind) -> None:
    view = make_view(tmp_path, 1, "running", trainer={"max_epochs": 40, "monitor": "val/loss"})
    attempt = Attempt(view.job, 1, view.job_state.holding_study.job_folder(view.job.id))
    for epoch, loss in enumerate((0.9, 0.5)):
        append_metrics(attempt.records, 1, epoch, {"val/loss": loss, "val/accuracy": 0.1}, kind)
    [found] = find_running([view, view])
    assert (found.epoch, found.epochs, found.metric) == (2, 40, "val/loss")
    assert (found.value, found.previous, found.host) == (0.5, 0.9, "n1")
    ProgressWriter(attempt)(3, 40)
    [found] = find_running([view])
    assert found.to_json() == {
        "id": view.job.id,
        "axes": {"seed": 1},
        "epoch": 3,
        "epochs": 40,
        "metric": "val/loss",
        "value": 0.5,
    }


def test_a_job_that_ends_while_its_records_are_read_is_shown_without(tmp_path: Path) -> None:
    view = make_view(tmp_path, 1, "running")
    records = Attempt(view.job, 1, view.job_state.holding_study.job_folder(view.job.id)).records
    records.mkdir(parents=True)
    # Listed, and gone when it is read.
    (records / "metrics.1.jsonl").symlink_to("gone")
    [found] = find_running([view])
    assert (found.epoch, found.metric) == (None, None)


def test_a_job_that_tells_nothing_is_shown_without(tmp_path: Path) -> None:
    [found] = find_running([make_view(tmp_path, 1, "running"), make_view(tmp_path, 2, "done")])
    assert found.to_json() == {
        "id": found.job.id,
        "axes": {"seed": 1},
        "epoch": None,
        "epochs": None,
        "metric": None,
        "value": None,
    }
    assert 4 < found.elapsed_s < 60
