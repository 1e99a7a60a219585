"""Re-calibration of logits: temperature scaling and affine calibration, for the prevalences of a deployment or without.

The score of a class is ``a·logit``, with affine calibration ``a·logit + b + log prior``; log-softmax makes it a
log-probability. ``a`` and ``b`` minimise the log loss on predictions whose classes are known, each sample weighted by
the prior of its class over that class's share (Brümmer and Doddington, 2013; psrcal). The arithmetic is that of
the published study (Godau et al., 2023): logits keep single precision until b, or a prior in double precision, raises
it, and the last point that L-BFGS-B tried is taken, converged or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.deployment import Deployment, PredictedSplits
from seedfold.results.prevalence.mean_predictions import PredictedSamples
from seedfold.results.prevalence.priors import Prior, exact_prior

if TYPE_CHECKING:
    from torch import Tensor

Row = dict[str, Any]
Floats = NDArray[np.float64]
Logits = NDArray[np.floating[Any]]
Method = Literal["none", "temperature", "affine"]
KnownPriors = Literal["none", "exact", "estimated"]

CALIBRATION_VARIANTS: tuple[tuple[Method, KnownPriors], ...] = (
    ("none", "none"),
    ("temperature", "none"),
    ("temperature", "exact"),
    ("temperature", "estimated"),
    ("affine", "none"),
    ("affine", "exact"),
    ("affine", "estimated"),
)
"""Each method, with the prevalences of the deployment that it uses: none, exact or estimated."""
_OPTIMIZER_OPTIONS = {"maxiter": 100, "maxls": 40}


@dataclass(frozen=True)
class Calibrator:
    """A calibration: ``point`` holds a, and b (k,) if it is affine. If ``point`` is empty, logits do not change.

    An affine calibration that was fitted for a prior adds ``log_prior`` (k,).
    """

    parameters: Floats
    log_prior: Prior | None = None

    def __call__(self, logits: Logits) -> Logits:
        """Return calibrated log-probabilities (n, k); all are NaN if fitting met a NaN."""
        import torch

        if not self.parameters.size:
            return logits
        prior = None if self.log_prior is None else torch.from_numpy(self.log_prior)
        return np.asarray(
            _log_probabilities(torch.from_numpy(logits), torch.from_numpy(self.parameters), prior).numpy()
        )


def _log_probabilities(logits: Tensor, parameters: Tensor, log_prior: Tensor | None) -> Tensor:
    # A tensor of no dimensions does not raise the precision of what it is multiplied with; b does.
    scores = parameters[0] * logits
    if len(parameters) > 1:
        scores = scores + parameters[1:]
    if log_prior is not None:
        scores = scores + log_prior
    return scores - scores.logsumexp(dim=-1, keepdim=True)


@dataclass
class _LogLoss:
    """Computes the log loss and its gradient at a point, and remembers the last point."""

    logits: Tensor
    targets: Tensor
    weights: Tensor
    log_prior: Tensor | None
    last_parameters: Floats = field(default_factory=lambda: np.zeros(0))

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        import torch

        point = torch.from_numpy(parameters.copy()).requires_grad_()
        chosen = _log_probabilities(self.logits, point, self.log_prior).gather(1, self.targets[:, None])[:, 0]
        loss = (self.weights * -chosen).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        value, gradient = float(loss.detach()), np.asarray(point.grad)
        self.last_parameters = parameters.copy() if np.isfinite(value) else np.full_like(parameters, np.nan)
        return value, gradient


def softmax(logits: Logits) -> Logits:
    """Return probabilities (n, k) in the precision of the logits, by torch: bins depend on the last bit."""
    import torch

    return np.asarray(torch.softmax(torch.from_numpy(logits), dim=1).numpy())


def fit_calibrator(predicted: PredictedSamples, method: Method, prior: Prior | None = None) -> Calibrator:
    """Return the calibration that fits these predictions best, as if their prevalences were ``prior`` (k,).

    A prior of 0 makes an affine calibration NaN. ``none`` takes no prior: ValueError.
    """
    import torch
    from scipy.optimize import minimize

    if method == "none":
        if prior is not None:
            raise ValueError("a prior is of no use where nothing is calibrated")
        return Calibrator(np.zeros(0))
    log_prior = None if prior is None or method == "temperature" else torch.from_numpy(prior).log()
    loss = _LogLoss(
        torch.from_numpy(predicted.logits),
        torch.from_numpy(predicted.targets),
        torch.from_numpy(_sample_weights(predicted, prior)),
        log_prior,
    )
    start = _initial_parameters(predicted.class_count, method, log_prior)
    minimize(loss, start, method="L-BFGS-B", jac=True, options=_OPTIMIZER_OPTIONS)
    return Calibrator(loss.last_parameters, None if log_prior is None else log_prior.numpy())


def _sample_weights(predicted: PredictedSamples, prior: Prior | None) -> Prior:
    """Return one weight per sample: the prior of its class divided by the share of this class."""
    if prior is None:
        return np.ones(1, dtype=np.float32)
    shares = predicted.class_counts.astype(np.float32) / np.float32(len(predicted.targets))
    return np.asarray(prior[predicted.targets] / shares[predicted.targets])


def _initial_parameters(classes: int, method: Method, log_prior: Tensor | None) -> Floats:
    """Return the start: the scores of an affine calibration are then the logits, whatever the prior."""
    if method == "temperature":
        return np.ones(1)
    shift = np.zeros(classes) if log_prior is None else -log_prior.numpy().astype(np.float64)
    return np.concatenate([np.ones(1), shift])


@dataclass(frozen=True)
class CalibratedLogits:
    """The logits (n, k) of the development and of the deployment test set under one of the `CALIBRATION_VARIANTS`."""

    method: Method
    priors: KnownPriors
    dev_test: Logits
    app_test: Logits


@dataclass(frozen=True)
class CalibratedDeployment:
    """A deployment, its prevalences in the precision to compute with, and all `CALIBRATION_VARIANTS` in their order."""

    deployment: Deployment
    exact: Prior
    estimated: Prior
    variants: tuple[CalibratedLogits, ...]


def calibrate_deployments(
    splits: PredictedSplits, deployments: Sequence[Deployment], estimate: Callable[[Deployment], Prior]
) -> Iterator[CalibratedDeployment]:
    """Calibrate each deployment on ``dev_cal`` in every way. Raises what ``estimate`` does."""
    calibrator_by_method = {
        method: fit_calibrator(splits.dev_cal, method) for method, known in CALIBRATION_VARIANTS if known == "none"
    }
    for deployment in deployments:
        priors = {"exact": exact_prior(deployment), "estimated": estimate(deployment)}
        variants = []
        for method, known in CALIBRATION_VARIANTS:
            calibrate = (
                calibrator_by_method[method]
                if known == "none"
                else fit_calibrator(splits.dev_cal, method, priors[known])
            )
            variants.append(
                CalibratedLogits(
                    method, known, calibrate(splits.dev_test.logits), calibrate(deployment.predicted.logits)
                )
            )
        yield CalibratedDeployment(deployment, **priors, variants=tuple(variants))
