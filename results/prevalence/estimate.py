"""The job that estimates the class prevalences of a simulated deployment, for later stages to train with.

The deployment test set is resampled to ``imbalance_ratio``; quantifiers trained on the balanced development test set
estimate its prevalences from what the parents predict there. The settings are ``estimate`` of the configuration:
``method``, whose estimate becomes the loss weights, ``methods`` to compare, ``zeros`` and ``epsilon`` (see
`loss_weights`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.work import ConfigFailure, DataFailure, Work
from seedfold.results.prevalence.mean_predictions import read_mean_predictions
from seedfold.results.prevalence.quantify import (
    QUANTIFIERS,
    QuantificationProblem,
    class_shares,
    estimate_prevalences,
    suggest_method,
)
from seedfold.results.prevalence.resampling import BASE_SEED, ImpossibleScalingError, resample_rows
from seedfold.results.store.values import BLOCKED_KEY, write_values

PRELOAD = ("numpy", "pandas", "pyarrow.parquet", "scipy.optimize", "torch", "seedfold.results.store.predictions")
ESTIMATES_FILE = "estimates.csv"
ZeroPolicy = Literal["error", "epsilon", "as_published"]
NOISE = 1e-12
"""Estimates below this count as zero: if a solver finds a class absent, its estimate is rarely exactly 0."""


@dataclass(frozen=True)
class EstimateSettings:
    """``estimate`` of the configuration."""

    method: str = "ACC"
    methods: tuple[str, ...] = ("CC", "BBSE", "ACC")
    zeros: ZeroPolicy = "epsilon"
    epsilon: float = 1e-8
    base_seed: int = BASE_SEED

    def __post_init__(self) -> None:
        for key, names in {"method": (self.method,), "methods": self.methods}.items():
            for name in names:
                if name not in QUANTIFIERS:
                    known = ", ".join(QUANTIFIERS)
                    raise ConfigFailure(f"estimate.{key}: {name!r} is not one of {known}{suggest_method(name)}")
        if self.zeros not in get_args(ZeroPolicy):
            raise ConfigFailure(f"estimate.zeros: {self.zeros!r} is not one of {', '.join(get_args(ZeroPolicy))}")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EstimateSettings:
        """Read ``config.estimate``. Raises ConfigFailure for an unknown key or value."""
        return read_settings(cls, config.get("estimate"), "estimate")


def run(work: Work) -> None:
    """Estimate from the predictions of the parents; if the ratio is impossible, the result says so."""
    settings, ratio = EstimateSettings.from_config(work.config), float(work.config["imbalance_ratio"])
    folders = list(work.parents.values())
    development, deployment = read_mean_predictions(folders, "dev_test"), read_mean_predictions(folders, "app_test")
    try:
        rows = resample_rows(deployment.targets, deployment.class_count, ratio, settings.base_seed)
    except ImpossibleScalingError as verdict:
        write_values(work.staging, {"ratio": ratio, BLOCKED_KEY: f"imbalance ratio {ratio:g} is impossible: {verdict}"})
        return
    _write_estimates(work, settings, ratio, QuantificationProblem(development, deployment, [rows]))


def _write_estimates(work: Work, settings: EstimateSettings, ratio: float, problem: QuantificationProblem) -> None:
    names = dict.fromkeys((*settings.methods, settings.method))
    estimates = {name: estimate_prevalences(name, problem)[0] for name in names}
    [rows] = problem.samples
    exact = class_shares(problem.pool.targets[rows], problem.class_count)
    _write_table(work.staging / ESTIMATES_FILE, exact, estimates)
    found = loss_weights(estimates[settings.method], settings.zeros, settings.epsilon, _trained_shares(work.config))
    write_values(
        work.staging,
        {
            "ratio": ratio,
            "n": len(rows),
            "prevalence": exact.tolist(),
            "estimates": {name: estimate.tolist() for name, estimate in estimates.items()},
            "method": settings.method,
            "zeros": np.flatnonzero(find_absent(estimates[settings.method], settings.zeros)).tolist(),
            "weights": found,
        },
    )


def find_absent(estimate: NDArray[np.float64], zeros: ZeroPolicy) -> NDArray[np.bool_]:
    """Return which classes (k,) are estimated to be absent: those below `NOISE`; with ``as_published`` those at 0."""
    return np.asarray(estimate <= 0 if zeros == "as_published" else estimate < NOISE)


def loss_weights(
    estimate: NDArray[np.float64], zeros: ZeroPolicy, epsilon: float, trained_shares: NDArray[np.float64] | None
) -> list[float]:
    """Return one loss weight per class from estimated prevalences (k,); the weights sum to 1.

    If training does not balance its classes, ``trained_shares`` are its prevalences, and the estimate is divided by
    them. An estimate of zero would take its class out of the loss: ``error`` raises DataFailure, ``epsilon`` puts a
    small number in its place, ``as_published`` leaves the zero as in the published study.
    """
    absent_classes = np.flatnonzero(find_absent(estimate, zeros))
    if not np.isfinite(estimate).all():
        raise DataFailure(f"estimate: class {int(np.flatnonzero(~np.isfinite(estimate))[0])} has no finite prevalence")
    if len(absent_classes) and zeros == "error":
        raise DataFailure(f"estimate: class {int(absent_classes[0])} is estimated to be absent; see estimate.zeros")
    if zeros == "epsilon":
        estimate = np.maximum(estimate, epsilon)
    unscaled = estimate if trained_shares is None else estimate / trained_shares
    return [float(weight) for weight in unscaled / unscaled.sum()]


def _trained_shares(config: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """Return the class shares of a training that does not balance classes; None if it balances them."""
    if (config.get("sampling") or {}).get("draw") == "balanced":
        return None
    counts = np.asarray(config["task"]["class_counts"], dtype=np.float64)
    return np.asarray(counts / counts.sum())


def _write_table(path: Path, exact: Sequence[float] | NDArray[np.float64], estimates: Mapping[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "class", "prevalence", "estimate"])
        for name, estimate in estimates.items():
            writer.writerows([name, number, exact[number], value] for number, value in enumerate(estimate.tolist()))
