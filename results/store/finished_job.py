"""The handle by which tables and reports know a finished job: where its result lies, where it stands in the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from seedfold.jobs.description import SHORT_ID_LENGTH


class Addressed(Protocol):
    """Anything with a place in a study: a job, or a group of them."""

    @property
    def stage(self) -> str:
        """The stage's name."""

    @property
    def axes(self) -> Mapping[str, Any]:
        """Axis values by configuration key."""


class Job(Addressed, Protocol):
    """A job, done or not: a run, or a description."""

    @property
    def id(self) -> str:
        """The job's full id."""

    @property
    def config(self) -> Mapping[str, Any] | None:
        """The job's configuration, where it is known."""


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A current, finished job. ``folder`` is its published result; ``stale`` says why it no longer holds, if so."""

    id: str
    study: str
    stage: str
    axes: Mapping[str, Any]
    attempt: int
    folder: Path
    stale: str | None = None
    config: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def short_id(self) -> str:
        """The first twelve characters of the id, as shown to people."""
        return self.id[:SHORT_ID_LENGTH]
