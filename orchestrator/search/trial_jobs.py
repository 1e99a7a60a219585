"""The jobs of a trial: the study as it was launched, with the trial's values as axes beside those of the matrix."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan_once
from seedfold.orchestrator.ledger.search_decisions import RecordedDecision
from seedfold.orchestrator.ledger.search_launch import SearchLaunch
from seedfold.orchestrator.settings.search import SearchSettings

if TYPE_CHECKING:
    from seedfold.jobs.study import Study


def digest_of(jobs: Sequence[JobDescription]) -> str:
    """A digest of the jobs of the study without any trial."""
    return hashlib.sha256("".join(job.id for job in jobs).encode()).hexdigest()


class TrialAxes:
    """The searched keys as axes of a study: of the stages that read them, and of those after them.

    Raises UsageError for a key that no stage reads.
    """

    def __init__(self, study: Study, settings: SearchSettings) -> None:
        self.stages = {key: study.stages_with_key(key, settings.axes_from) for key in settings.space}
        self._prefixes = {key: dimension.prefix for key, dimension in settings.space.items()}
        self._is_of_one_stage = len(study.stages) == 1

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides that make the values of a trial axes."""
        from seedfold.jobs.axis_values import group_override

        return [
            group_override(self._prefixes[key], place, [value])
            for key, value in params.items()
            for place in self._places(key)
        ]

    def _places(self, key: str) -> list[str]:
        if self._is_of_one_stage:
            return [f"matrix.{key}"]
        return [f"stages.{stage}.matrix.{key}" for stage in self.stages[key]]


def load_trials(folder: StudyFolder, launch: SearchLaunch) -> Study:
    """Return the study in ``folder`` without any trial, as it was launched. Raises UsageError."""
    from seedfold.jobs.study import load_study

    return load_study(launch.overrides, config_dirs=launch.config_folders(folder), folder=Path(launch.folder))


def jobs_of_trial(folder: StudyFolder, study: Study, overrides: Sequence[str] = ()) -> list[JobDescription]:
    """Return the jobs of a study in ``folder``, with the axes of a trial. Raises UsageError for values that do not fit.

    A job of stages without searched keys is the same one in each trial.
    """
    # A study may have been renamed since.
    return [replace(job, study=folder.name) for job in study.with_axes(overrides).jobs()]


class TrialJobs:
    """Composes the jobs of trials, as the last launch composed the study."""

    def __init__(self, study: StudyFolder) -> None:
        self._study = study
        self._loaded: tuple[SearchLaunch, Study, TrialAxes] | None = None

    def compose(self, params: Mapping[str, Any], number: int) -> list[JobDescription]:
        """Return the jobs of a trial, which has this ``number``.

        Raises ChangedStudyError if the study would be another one today, and UsageError if the point is not valid.
        """
        study, axes = self._load()
        return jobs_of_trial(self._study, study, axes.overrides(params))

    def prepare(self) -> None:
        """Compose what all trials have in common. Raises as `compose`."""
        self._load()

    def _load(self) -> tuple[Study, TrialAxes]:
        launch = SearchLaunch.read(self._study)
        if self._loaded is None or self._loaded[0] != launch:
            study = load_trials(self._study, launch)
            if digest_of(jobs_of_trial(self._study, study)) != launch.digest:
                raise ChangedStudyError(
                    f"study {self._study.name}: what Seedfold itself configures has changed since it was launched, so"
                    " that its trials would not be comparable; launch it again"
                )
            self._loaded = launch, study, TrialAxes(study, SearchSettings.parse(study.settings[SEARCH]))
        return self._loaded[1:]

    def plan(self, header: PlanHeader, decision: RecordedDecision, jobs: Sequence[JobDescription]) -> None:
        """Write the plan of a trial that begins, unless it is there already."""
        own = replace(header, time=decision.time, request=None, trial=decision.trial)
        write_plan_once(self._study, own, jobs, f"trial{decision.trial:06d}")


class ChangedStudyError(UsageError):
    """A study is not composed any more as when its search was launched."""


def decision_time() -> float:
    """The time of a decision, in seconds since the epoch."""
    return round(time.time(), 3)
