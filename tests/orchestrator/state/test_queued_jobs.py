"""Jobs that only wait in a queue are told as one by one, though of those that are alike one is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from scripted_scheduler import ScriptedScheduler, install
from toyproject import Toy

from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.plan_jobs import PlanJobs
from seedfold.orchestrator.state import overview as overviews
from seedfold.orchestrator.state.overview import Overview, status_notes, status_to_json
from seedfold.orchestrator.state.stage_progress import StudyProgress

ON_SLURM = ("cluster=slurm", "cluster.settle_s=1")


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> ScriptedScheduler:
    return install(monkeypatch)


def told(toy: Toy, study: str) -> dict[str, Any]:
    """All that is said of a study, and of each of its jobs."""
    overview = Overview(Root(toy.root), study)
    views = overview.job_views()
    progress = StudyProgress.find(overview, views)
    jobs = [(one.id, one.state, one.reason, one.stage, dict(one.axes), one.attempt, one.last_time) for one in views]
    return {
        "jobs": jobs,
        "described": [(one.job, one.job_state) for one in views],
        "status": status_to_json(study, views),
        "notes": status_notes(overview, views),
        "stages": [(one.stage, one.counts, one.left_s) for one in progress.stages],
    }


def told_one_by_one(toy: Toy, study: str) -> dict[str, Any]:
    def find_none(*arguments: object) -> Iterable[list[int]]:
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overviews, "find_queued", find_none)
        return told(toy, study)


def test_queued_jobs_are_told_as_one_by_one(toy: Toy, scheduler: ScriptedScheduler) -> None:
    elsewhere = ("study=other", "seed=0", "fold=0", "--wait", "--root", str(toy.folder / "elsewhere"))
    assert toy.launch(*elsewhere, experiment="light").returncode == 0
    assert toy.launch(*ON_SLURM, experiment="light").returncode == 0
    assert told(toy, "light") == told_one_by_one(toy, "light")
    assert told(toy, "light")["status"]["states"]["submitted"] == 6
    (toy.folder / "elsewhere" / "other").rename(toy.root / "other")
    toy.output_of("cancel", "light", "--where", "seed=1", "--where", "fold=0")
    toy.output_of("hold", "light", "--where", "seed=1", "--where", "fold=1")
    failed = next(job for job, _, _, _, axes, *_ in told(toy, "light")["jobs"] if axes == {"seed": 1, "fold": 2})
    events = EventWriter(toy.study("light").events_folder)
    events.append("failed", job=failed, n=1, reason="no", kind="error", digest="d", seconds=1.0)
    found = told(toy, "light")
    assert found == told_one_by_one(toy, "light")
    states = found["status"]["states"]
    assert (states["done"], states["cancelled"], states["submitted"]) == (1, 1, 2)


def test_stages_that_wait_for_others_are_told_as_one_by_one(toy: Toy, scheduler: ScriptedScheduler) -> None:
    assert toy.launch(*ON_SLURM, experiment="chain").returncode == 0
    assert told(toy, "chain") == told_one_by_one(toy, "chain")


def test_of_queued_jobs_that_are_alike_the_first_and_the_last_are_read(
    toy: Toy, scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert toy.launch(*ON_SLURM, experiment="light").returncode == 0
    read, read_job = [], PlanJobs.job
    monkeypatch.setattr(PlanJobs, "job", lambda plan, *place: (read.append(place), read_job(plan, *place))[1])
    shown = json.loads(toy.output_of("status", "light", "--json"))
    assert shown["states"]["submitted"] == 6
    assert len(set(read)) == 2
