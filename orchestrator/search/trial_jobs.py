"""The jobs of a trial: the study as it was launched, with the trial's values as axes beside those of the matrix."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan_once
from seedfold.orchestrator.ledger.search_decisions import RecordedDecision
from seedfold.orchestrator.ledger.search_launch import SearchLaunch


def digest_of(jobs: Sequence[JobDescription]) -> str:
    """A digest of the jobs of the study without any trial."""
    return hashlib.sha256("".join(job.id for job in jobs).encode()).hexdigest()


def trial_overrides(params: Mapping[str, Any]) -> list[str]:
    """The overrides that make the values of a trial axes of the study."""
    from seedfold.jobs.axis_values import group_override

    return [group_override("", f"matrix.{key}", [value]) for key, value in params.items()]


def compose_trial(folder: StudyFolder, launch: SearchLaunch, params: Mapping[str, Any]) -> list[JobDescription]:
    """Return the jobs of a trial of the study in ``folder``. Raises UsageError for a point that is not valid."""
    from seedfold.jobs.study import load_study

    overrides, dirs = [*launch.overrides, *trial_overrides(params)], launch.config_folders(folder)
    study = load_study(overrides, config_dirs=dirs, folder=Path(launch.folder))
    # A study may have been renamed since.
    return [replace(job, study=folder.name) for job in study.jobs()]


class TrialJobs:
    """Composes the jobs of trials, as the last launch composed the study."""

    def __init__(self, study: StudyFolder) -> None:
        self._study = study
        self._checked: SearchLaunch | None = None

    def compose(self, params: Mapping[str, Any], number: int) -> list[JobDescription]:
        """Return the jobs of a trial, which has this ``number``.

        Raises ChangedStudyError if the study would be another one today, and UsageError if the point is not valid.
        """
        launch = SearchLaunch.read(self._study)
        if launch != self._checked:
            if digest_of(compose_trial(self._study, launch, {})) != launch.digest:
                raise ChangedStudyError(
                    f"study {self._study.name}: what Seedfold itself configures has changed since it was launched, so"
                    " that its trials would not be comparable; launch it again"
                )
            self._checked = launch
        return compose_trial(self._study, launch, params)

    def plan(self, header: PlanHeader, decision: RecordedDecision, jobs: Sequence[JobDescription]) -> None:
        """Write the plan of a trial that begins, unless it is there already."""
        own = replace(header, time=decision.time, request=None, trial=decision.trial)
        write_plan_once(self._study, own, jobs, f"trial{decision.trial:06d}")


class ChangedStudyError(UsageError):
    """A study is not composed any more as when its search was launched."""


def decision_time() -> float:
    """The time of a decision, in seconds since the epoch."""
    return round(time.time(), 3)
