"""Files for people of jobs that another study has done."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.output_files import output_folder
from seedfold.orchestrator.state.job_states import JobState
from seedfold.orchestrator.state.reused_outputs import copy_reused_outputs, count_reused


def job(number: int, axes: Mapping[str, Any]) -> JobDescription:
    return JobDescription(f"{number}" * 64, "new", "mean", axes, {}, (), Resources(), "run", "f" * 64)


class States:
    """Every job has the state that was given."""

    def __init__(self, state: JobState) -> None:
        self.state = state

    def of(self, job_id: str) -> JobState:
        return self.state


@pytest.fixture
def studies(tmp_path: Path) -> tuple[StudyFolder, StudyFolder]:
    """The study that has done a job, with its files, and the one that re-uses it."""
    old, new = StudyFolder(tmp_path / "old"), StudyFolder(tmp_path / "new")
    outputs = old.result_folder("1" * 64, 2) / "outputs" / "figures"
    outputs.mkdir(parents=True)
    (outputs / "roc.svg").write_text("drawn")
    (outputs.parent / "auc.csv").write_text("area")
    return old, new


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def copied(new: StudyFolder, state: JobState, *jobs: JobDescription) -> None:
    states: Any = States(state)
    copy_reused_outputs(new, states, jobs)


def test_they_are_copied_once(studies: tuple[StudyFolder, StudyFolder]) -> None:
    old, new = studies
    done, mean = JobState("done", old, 2), job(1, {})
    copied(new, done, mean)
    assert files(output_folder(new, mean, 1)) == {"auc.csv": "area", "figures/roc.svg": "drawn"}
    target = new.outputs_folder / "mean" / "auc.csv"
    before = target.stat().st_ino
    copied(new, done, mean)
    assert target.stat().st_ino == before, "copied although it was there"
    source = old.result_folder("1" * 64, 2) / "outputs" / "auc.csv"
    source.write_text("AREA")
    os.utime(source, ns=(target.stat().st_mtime_ns + 10**9,) * 2)
    copied(new, done, mean)
    assert target.read_text() == "AREA"


def test_jobs_with_axes_have_folders_of_their_own(studies: tuple[StudyFolder, StudyFolder]) -> None:
    old, new = studies
    copied(new, JobState("done", old, 2), job(1, {"fold": 0}), job(1, {"fold": 1}))
    folders = sorted(path.name for path in (new.outputs_folder / "mean").iterdir())
    assert folders == ["fold=0-111111111111", "fold=1-111111111111"]


def test_nothing_is_copied_of_jobs_that_are_not_done_elsewhere(studies: tuple[StudyFolder, StudyFolder]) -> None:
    old, new = studies
    copied(new, JobState("running", old, 2), job(1, {}))
    copied(old, JobState("done", old, 2), job(1, {}))
    copied(new, JobState("done", old, 1), job(1, {}))
    assert not new.outputs_folder.exists()
    assert not old.outputs_folder.exists()


def test_they_are_counted_once_for_each_job(studies: tuple[StudyFolder, StudyFolder]) -> None:
    old, new = studies
    jobs = [job(1, {"fold": 0}), job(1, {"fold": 0}), job(2, {"fold": 1})]
    states: Any = States(JobState("done", old, 2))
    assert count_reused(new, states, jobs) == {"old": 2}
    assert count_reused(old, states, jobs) == {}
    states = States(JobState("running", old, 2))
    assert count_reused(new, states, jobs) == {}
