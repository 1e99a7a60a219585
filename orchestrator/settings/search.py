"""The key ``search`` of a study: which space is searched, by which sampler, and how long trials are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seedfold.jobs.conditions import Where
from seedfold.orchestrator.settings.search_space import Dimension

Direction = Literal["maximize", "minimize"]
FailedPolicy = Literal["worst", "ignore", "retry"]


@dataclass(frozen=True, slots=True)
class Halving:
    """Successive halving: trials are trained for ``min`` epochs, the best one in ``eta`` of them ``eta`` times as long.

    ``resource`` is what is counted. With several ``brackets`` (Hyperband), some trials begin with a longer training.
    """

    min: int
    max: int
    eta: int = 3
    resource: str = "epochs"
    brackets: int = 1


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may use at most: ``job_s`` seconds of all its jobs together, ``wall_s`` seconds since its start."""

    job_s: float | None = None
    wall_s: float | None = None


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """A search. ``space`` has the searched keys without ``+``.

    A trial is all points of the axes ``over``, and its values are the means over them; None stands for all axes of the
    matrix. ``metrics`` is empty for a program whose returned number counts. ``failed`` says what the sampler is told
    of a trial that failed: that it is the worst, nothing, or nothing until it has been tried again.
    """

    space: Mapping[str, Dimension]
    trials: int
    metrics: tuple[str, ...]
    directions: tuple[Direction, ...]
    sampler: str | Mapping[str, Any] = "tpe"
    over: tuple[str, ...] | None = None
    halving: Halving | None = None
    prune: str | Mapping[str, Any] | None = None
    parallel: int = 4
    seed: int = 0
    failed: FailedPolicy = "worst"
    first: tuple[Mapping[str, Any], ...] = ()
    only: tuple[Where, ...] = ()
    warm_start: tuple[str, ...] = ()
    budget: Budget = Budget()
