"""Which jobs of a study a command selects: by axis values, by stage, and by a largest number."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError

if TYPE_CHECKING:
    from seedfold.jobs.conditions import Selectable, Where

T = TypeVar("T")
TellSelected = Callable[[Sequence[JobDescription]], None]
"""What is told which jobs were selected, before anything happens to them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Conditions that a job must meet, all of them. An empty selection selects every job."""

    where: Where | None = None
    stages: frozenset[str] = frozenset()
    limit: int | None = None
    ids: frozenset[str] | None = None
    """The ids of the only jobs that are selected; None for those of any id."""
    text: str = ""
    """The options as they were typed, for messages."""

    @classmethod
    def parse(cls, where: Sequence[str] = (), stages: Sequence[str] = (), limit: int | None = None) -> Selection:
        """Read the values of ``--where``, ``--stage`` and ``--limit``. Raises UsageError for a bad condition."""
        if limit is not None and limit < 1:
            raise UsageError(f"--limit {limit}: must be at least 1; leave it out to select all jobs")
        options = [*(("--where", one) for one in where), *(("--stage", one) for one in stages)]
        options += [] if limit is None else [("--limit", str(limit))]
        text = " ".join(f"{name} {shlex.quote(value)}" for name, value in options)
        return cls(_parse_where(where) if where else None, frozenset(stages), limit, text=text)

    def check_names(self, jobs: Iterable[Selectable]) -> None:
        """Check the names against all jobs of a study. Raises UsageError for an unknown stage or axis."""
        if not self.stages and self.where is None:
            return
        from seedfold.jobs.conditions import check_stages

        jobs = list(jobs)
        check_stages(sorted(self.stages), dict.fromkeys(job.stage for job in jobs), "--stage ")
        if self.where is not None:
            self.where.check_for_jobs(jobs)

    def matches(self, job: Selectable) -> bool:
        """Whether a job meets the conditions. The limit is not applied here."""
        if (self.stages and job.stage not in self.stages) or (self.ids is not None and job.id not in self.ids):
            return False
        return self.where is None or self.where.matches_job(job)

    def apply(self, jobs: Iterable[T], description_of: Callable[[T], Selectable]) -> list[T]:
        """Return those of ``jobs`` that are selected, in their order.

        ``description_of`` returns the description of one, or what else has its id, stage and axes.
        """
        return list(islice((job for job in jobs if self.matches(description_of(job))), self.limit))


def _parse_where(where: Sequence[str]) -> Where:
    from seedfold.jobs.conditions import Where

    return Where.parse(" ".join(where))
