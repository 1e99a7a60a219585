"""What an analysis of prevalence shift is made with, whoever asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.results.prevalence.quantify import METHODS, check_methods
from seedfold.results.prevalence.scaling import BASE_SEED

DEFAULT_RATIOS = tuple(1 + step / 2 for step in range(19))
"""The ratios of the published study: 1, 1.5, … 10."""


@dataclass(frozen=True)
class AnalysisSettings:
    """``ratios`` of the simulated deployments, None for `RATIOS`; ``methods`` of estimation.

    ``zeros`` says what becomes of a class that is estimated to be absent, ``epsilon`` what takes its place;
    ``base_seed`` is that of the simulated deployments. Raises UsageError for a ratio below 1 and an unknown method.
    """

    ratios: tuple[float, ...] | None = None
    methods: tuple[str, ...] = METHODS
    zeros: Any = "epsilon"
    epsilon: float = 1e-8
    base_seed: int = BASE_SEED

    def __post_init__(self) -> None:
        check_methods(self.methods)
        for ratio in self.ratios or ():
            if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not (isfinite(ratio) and ratio >= 1):
                raise UsageError(f"ratios: {ratio!r} is no ratio of the largest to the smallest class; at least 1")

    @classmethod
    def from_options(cls, **values: Any) -> AnalysisSettings:
        """Read settings of which None, or what is not there, is the default."""
        return cls.from_dict({name: value for name, value in values.items() if value is not None})

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> AnalysisSettings:
        """Read the JSON form."""
        lists = {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
        return cls(**{**record, **lists})

    def ratios_for(self, trained_for: Any) -> tuple[float, ...]:
        """Return the ratios to look at a job at: the one that it was trained for, or all."""
        if trained_for is None:
            return tuple(map(float, self.ratios or DEFAULT_RATIOS))
        own = float(trained_for)
        return (own,) if self.ratios is None or own in self.ratios else ()

    def values_for_table(self, name: str) -> dict[str, Any]:
        """Return what a table's numbers depend on beside the ratios."""
        if name == "quantification":
            return {"methods": self.methods, "base_seed": self.base_seed}
        return {"zeros": self.zeros, "epsilon": self.epsilon, "base_seed": self.base_seed}
