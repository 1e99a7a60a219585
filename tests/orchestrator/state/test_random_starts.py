"""A plan says which networks begin at random although published weights exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_states import JobState
from seedfold.orchestrator.state.launch_plan import PlannedJob, count_random_starts


def planned(stage: str, config: dict[str, Any], folder: Path) -> PlannedJob:
    job = JobDescription("a" * 64, "study", stage, {}, config, (), Resources(), "run", "f" * 64)
    return PlannedJob(job, JobState("waiting", Root(folder).study_folder("study")), "new")


def test_only_networks_that_could_begin_with_weights_are_counted(tmp_path: Path) -> None:
    jobs = [
        planned("train", {"model": {"name": "b6", "pretrained": None}}, tmp_path),
        planned("train", {"model": {"name": "b4", "pretrained": None}}, tmp_path),
        planned("tune", {"model": {"name": "b6", "pretrained": "imagenet"}}, tmp_path),
        planned("metadata", {"model": {"n_estimators": 7}}, tmp_path),
        planned("blend", {}, tmp_path),
    ]
    assert count_random_starts(jobs) == {"train": 2}
