"""The version of the code as one more axis of finished jobs, if several versions computed the jobs of a stage.

Like any key in which jobs differ without an axis, it separates results that no other axis separates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.code.comparison import CodeComparison
from seedfold.orchestrator.state.code_versions import CodeVersions, FinishedAttempt
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.results.evaluation.axes import CODE_AXES

_MAX_FILES = 3


@dataclass(frozen=True, slots=True)
class CodeAxis:
    """The axis ``name``; ``values`` by the ids of the jobs of those stages that have several; ``files`` that differ."""

    name: str
    values: Mapping[str, str]
    files: tuple[str, ...]

    def axes_of(self, job_id: str) -> dict[str, str]:
        """Return the axis with a job's value; it is empty if all results of the stage come from one version."""
        return {self.name: self.values[job_id]} if job_id in self.values else {}

    def note(self) -> str | None:
        """Say that there are several versions, and why; None if there is only one."""
        if not self.values:
            return None
        versions = count_noun(len(set(self.values.values())), "version")
        more = f" and {len(self.files) - _MAX_FILES} more" if len(self.files) > _MAX_FILES else ""
        listed = f" ({', '.join(self.files[:_MAX_FILES])}{more})" if self.files else ""
        return (
            f"results of {versions} of the code{listed} are kept apart in the column {self.name}; "
            f"--across code puts them together"
        )


def find_code_axis(comparison: CodeComparison, states: JobStates, attempts: Sequence[FinishedAttempt]) -> CodeAxis:
    """Return the axis for these results."""
    versions = CodeVersions(comparison, states, attempts)
    stages: dict[str, dict[str, str]] = {}
    for attempt in attempts:
        stages.setdefault(attempt.job.stage, {})[attempt.job.id] = versions.name_of(attempt.job.id)
    several = [values for values in stages.values() if len(set(values.values())) > 1]
    by_job = {job: name for values in several for job, name in values.items()}
    return CodeAxis(_axis_name(attempts), by_job, versions.files)


def _axis_name(attempts: Iterable[FinishedAttempt]) -> str:
    """``code``, unless the study has an axis of that name."""
    taken = {axis for attempt in attempts for axis in attempt.job.axes}
    return next(name for name in CODE_AXES if name not in taken)
