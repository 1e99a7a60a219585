"""The settings of an analysis of prevalence shift, for the command, the API and the job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.prevalence.quantify import METHODS, check_methods
from seedfold.results.prevalence.resampling import BASE_SEED

REQUIRED_SPLITS = ("dev_cal", "dev_test", "app_test")
"""The split to calibrate on, the balanced test set, and the deployment."""
RETRAINED_PRIORS = ("original", "own")
DEFAULT_RATIOS = tuple(1 + step / 2 for step in range(19))
"""The ratios of the published study: 1, 1.5, … 10."""


@dataclass(frozen=True)
class AnalysisSettings:
    """``ratios`` of the simulated deployments, None for `DEFAULT_RATIOS`; ``methods`` of estimation.

    ``zeros`` says what is done with a class that is estimated to be absent, ``epsilon`` is the number that can replace
    a zero; ``base_seed`` is the seed of the simulated deployments. ``splits`` are the names that a study gives to
    `REQUIRED_SPLITS`, in this order. Raises UsageError for a ratio below 1, an unknown method, and a split that is
    named twice. ``retrained_priors`` says whose estimate of the prevalences counts for a model that was trained for a
    ratio: ``original``, that of the model whose predictions gave the estimate of the study, or ``own``.
    """

    ratios: tuple[float, ...] | None = None
    methods: tuple[str, ...] = METHODS
    zeros: Any = "epsilon"
    epsilon: float = 1e-8
    base_seed: int = BASE_SEED
    splits: tuple[str, ...] = REQUIRED_SPLITS
    retrained_priors: str = "original"

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", check_methods(self.methods))
        if self.retrained_priors not in RETRAINED_PRIORS:
            raise UsageError(f"retrained_priors: {self.retrained_priors!r} is not one of {', '.join(RETRAINED_PRIORS)}")
        if len(self.splits) != len(REQUIRED_SPLITS) or len(set(self.splits)) < len(REQUIRED_SPLITS):
            named = ", ".join(f"{split}={name}" for split, name in zip(REQUIRED_SPLITS, self.splits, strict=False))
            raise UsageError(
                f"splits: {named}: {', '.join(REQUIRED_SPLITS)} are three splits and need three different names"
            )
        for ratio in self.ratios or ():
            if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not (isfinite(ratio) and ratio >= 1):
                raise UsageError(
                    f"ratios: {ratio!r} is not a ratio of the largest to the smallest class; give at least 1"
                )

    @classmethod
    def from_options(cls, **values: Any) -> AnalysisSettings:
        """Read settings; those that are None or missing get their default."""
        return cls.from_dict({name: value for name, value in values.items() if value is not None})

    @classmethod
    def names_of_splits(cls, mapping: Mapping[str, str]) -> tuple[str, ...]:
        """Return ``splits`` from names by `REQUIRED_SPLITS`; the others keep their own names. Raises UsageError."""
        for split in mapping:
            if split not in REQUIRED_SPLITS:
                raise UsageError(
                    f"splits: {split!r} is not one of"
                    f" {', '.join(REQUIRED_SPLITS)}{did_you_mean(split, REQUIRED_SPLITS)}"
                )
        return tuple(mapping.get(split, split) for split in REQUIRED_SPLITS)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> AnalysisSettings:
        """Read the JSON form."""
        lists = {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
        return cls(**{**record, **lists})

    def ratios_for(self, trained_for: Any) -> tuple[float, ...]:
        """Return the ratios at which a job is analysed: the one that it was trained for, or all."""
        if trained_for is None:
            return tuple(map(float, self.ratios or DEFAULT_RATIOS))
        own = float(trained_for)
        return (own,) if self.ratios is None or own in self.ratios else ()

    def values_for_table(self, name: str) -> dict[str, Any]:
        """Return the settings that the numbers of a table depend on, besides the ratios."""
        if name == "quantification":
            return {"methods": self.methods, "base_seed": self.base_seed}
        return {"zeros": self.zeros, "epsilon": self.epsilon, "base_seed": self.base_seed}
