"""What a search has tried until now, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from statistics import fmean
from typing import Any, Literal

from seedfold.jobs.canonical_json import canonical_json
from seedfold.orchestrator.settings.search import SearchSettings

TrialState = Literal["running", "paused", "done", "pruned", "failed"]

_MOST_RETRIES = 1
"""How often a trial that failed is tried again with ``failed: retry``, after the retries of its jobs are used up."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of the space of a search, and the values of its metrics.

    A trial whose jobs wait for a slot is ``running``. ``rung`` is the number of the last rung that it was sent to,
    counted from 0. ``values`` has one value of each metric, the mean over the axes of ``over``, for each number of
    epochs at which it is known: at the end of each rung, at the end of the training and, for ``prune``, at each epoch
    that all of its jobs have reached. A training without epochs has the key 0.

    ``known`` says how many results had been told when the trial was started, and ``told`` which number its newest
    result has among all that were told, counted from 0 (None before its first). ``retries`` says how often it has been
    tried again after it had failed. A trial with a negative number was not asked for by this search: it is a finished
    job of another study from which the search has learned.
    """

    number: int
    params: Mapping[str, Any]
    state: TrialState = "running"
    rung: int = 0
    values: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    told: int | None = None
    known: int = 0
    retries: int = 0

    @property
    def epochs(self) -> int:
        """The largest number of epochs at which a value is known; 0 if there is none."""
        return max(self.values, default=0)

    @property
    def value(self) -> tuple[float, ...] | None:
        """The newest value of each metric; None before the first."""
        return self.values[self.epochs] if self.values else None

    @property
    def is_broken(self) -> bool:
        """Whether it has failed, or a value of one of its metrics is not a finite number."""
        newest = self.value or ()
        return self.state == "failed" or not all(map(isfinite, newest))

    def may_be_retried(self, settings: SearchSettings) -> bool:
        """Whether it has failed and is tried again."""
        return (
            settings.failed == "retry"
            and self.is_broken
            and self.state in ("failed", "done")
            and self.retries < _MOST_RETRIES
        )


def warm_trials(
    settings: SearchSettings, finished: Iterable[tuple[Mapping[str, Any], tuple[float, ...]]]
) -> list[Trial]:
    """Return what finished jobs of other studies say about points of this space, as trials with negative numbers.

    ``finished`` are the axes of each job and its values of the metrics. Jobs with the same point are one trial, with
    the mean of their values. Jobs outside the space, or without one of its keys, are left out.
    """
    by_point: dict[str, tuple[dict[str, Any], list[tuple[float, ...]]]] = {}
    for axes, values in finished:
        point = point_in_space(settings, axes)
        if point is not None:
            by_point.setdefault(canonical_json(point), (point, []))[1].append(values)
    means = [(point, tuple(map(fmean, zip(*rows, strict=True)))) for point, rows in by_point.values()]
    return [Trial(-number, point, "done", values={0: mean}) for number, (point, mean) in enumerate(means, 1)]


def point_in_space(settings: SearchSettings, axes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the part of a job's axes that is a point of the space; None if the space has no such point."""
    point: dict[str, Any] = {}
    for key, dimension in settings.space.items():
        if dimension.is_active(point):
            if key not in axes or not dimension.contains(axes[key]):
                return None
            point[key] = axes[key]
    return point if settings.allows(point) else None
