"""The jobs of a trial: the study as it was launched, with the trial's values as axes beside those of the matrix."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.lazy_dataclasses import replace
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan_once
from seedfold.orchestrator.ledger.search_decisions import RecordedDecision
from seedfold.orchestrator.ledger.search_launch import SearchLaunch

if TYPE_CHECKING:
    from seedfold.jobs.study import Study


def digest_of(jobs: Sequence[JobDescription]) -> str:
    """A digest of the jobs of the study without any trial."""
    return hashlib.sha256("".join(job.id for job in jobs).encode()).hexdigest()


def trial_overrides(params: Mapping[str, Any]) -> list[str]:
    """The overrides that make the values of a trial axes of the study."""
    from seedfold.jobs.axis_values import group_override

    return [group_override("", f"matrix.{key}", [value]) for key, value in params.items()]


def load_trials(folder: StudyFolder, launch: SearchLaunch) -> Study:
    """Return the study in ``folder`` without any trial, as it was launched. Raises UsageError."""
    from seedfold.jobs.study import load_study

    return load_study(launch.overrides, config_dirs=launch.config_folders(folder), folder=Path(launch.folder))


def jobs_of_trial(folder: StudyFolder, study: Study, params: Mapping[str, Any]) -> list[JobDescription]:
    """Return the jobs of a trial of a study that is in ``folder``. Raises UsageError for a point that is not valid."""
    # A study may have been renamed since.
    return [replace(job, study=folder.name) for job in study.with_axes(trial_overrides(params)).jobs()]


class TrialJobs:
    """Composes the jobs of trials, as the last launch composed the study."""

    def __init__(self, study: StudyFolder) -> None:
        self._study = study
        self._loaded: tuple[SearchLaunch, Study] | None = None

    def compose(self, params: Mapping[str, Any], number: int) -> list[JobDescription]:
        """Return the jobs of a trial, which has this ``number``.

        Raises ChangedStudyError if the study would be another one today, and UsageError if the point is not valid.
        """
        return jobs_of_trial(self._study, self._load(), params)

    def prepare(self) -> None:
        """Compose what all trials have in common. Raises as `compose`."""
        self._load()

    def _load(self) -> Study:
        launch = SearchLaunch.read(self._study)
        if self._loaded is None or self._loaded[0] != launch:
            study = load_trials(self._study, launch)
            if digest_of(jobs_of_trial(self._study, study, {})) != launch.digest:
                raise ChangedStudyError(
                    f"study {self._study.name}: what Seedfold itself configures has changed since it was launched, so"
                    " that its trials would not be comparable; launch it again"
                )
            self._loaded = launch, study
        return self._loaded[1]

    def plan(self, header: PlanHeader, decision: RecordedDecision, jobs: Sequence[JobDescription]) -> None:
        """Write the plan of a trial that begins, unless it is there already."""
        own = replace(header, time=decision.time, request=None, trial=decision.trial)
        write_plan_once(self._study, own, jobs, f"trial{decision.trial:06d}")


class ChangedStudyError(UsageError):
    """A study is not composed any more as when its search was launched."""


def decision_time() -> float:
    """The time of a decision, in seconds since the epoch."""
    return round(time.time(), 3)
