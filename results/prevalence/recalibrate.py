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

from seedfold.results.prevalence.deployment import Deployment, Splits
from seedfold.results.prevalence.members import Predicted
from seedfold.results.prevalence.priors import Prior, exact

if TYPE_CHECKING:
    from torch import Tensor

Row = dict[str, Any]
Floats = NDArray[np.float64]
Logits = NDArray[np.floating[Any]]
Method = Literal["none", "temperature", "affine"]
Known = Literal["none", "exact", "estimated"]

VARIANTS: tuple[tuple[Method, Known], ...] = (
    ("none", "none"),
    ("temperature", "none"),
    ("temperature", "exact"),
    ("temperature", "estimated"),
    ("affine", "none"),
    ("affine", "exact"),
    ("affine", "estimated"),
)
"""Each method with what it knows of the deployment's prevalences."""
_ITERATIONS = {"maxiter": 100, "maxls": 40}


@dataclass(frozen=True)
class Calibrator:
    """A calibration: ``point`` holds a, for an affine one followed by b (k,); empty, it leaves logits alone.

    ``log_prior`` (k,) is added by an affine one that was fitted for a prior.
    """

    point: Floats
    log_prior: Prior | None = None

    def __call__(self, logits: Logits) -> Logits:
        """Return calibrated log-probabilities (n, k); NaN throughout where fitting met a NaN."""
        import torch

        if not self.point.size:
            return logits
        prior = None if self.log_prior is None else torch.from_numpy(self.log_prior)
        return np.asarray(_log_probabilities(torch.from_numpy(logits), torch.from_numpy(self.point), prior).numpy())


def _log_probabilities(logits: Tensor, point: Tensor, log_prior: Tensor | None) -> Tensor:
    # A tensor of no dimensions does not raise the precision of what it is multiplied with; b does.
    scores = point[0] * logits
    if len(point) > 1:
        scores = scores + point[1:]
    if log_prior is not None:
        scores = scores + log_prior
    return scores - scores.logsumexp(dim=-1, keepdim=True)


@dataclass
class _Loss:
    """The log loss and its gradient at a point, and the last point that was asked for."""

    logits: Tensor
    targets: Tensor
    weights: Tensor
    log_prior: Tensor | None
    last: Floats = field(default_factory=lambda: np.zeros(0))

    def __call__(self, at: Floats) -> tuple[float, Floats]:
        import torch

        point = torch.from_numpy(at.copy()).requires_grad_()
        chosen = _log_probabilities(self.logits, point, self.log_prior).gather(1, self.targets[:, None])[:, 0]
        loss = (self.weights * -chosen).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        value, gradient = float(loss.detach()), np.asarray(point.grad)
        self.last = at.copy() if np.isfinite(value) else np.full_like(at, np.nan)
        return value, gradient


def softmax(logits: Logits) -> Logits:
    """Return probabilities (n, k) in the precision of the logits, by torch: bins depend on the last bit."""
    import torch

    return np.asarray(torch.softmax(torch.from_numpy(logits), dim=1).numpy())


def fit(known: Predicted, method: Method, prior: Prior | None = None) -> Calibrator:
    """Return the calibration that suits these predictions, at the prevalences ``prior`` (k,) instead of their own.

    A prior of 0 makes an affine calibration NaN. ``none`` takes no prior: ValueError.
    """
    import torch
    from scipy.optimize import minimize

    if method == "none":
        if prior is not None:
            raise ValueError("a prior is of no use where nothing is calibrated")
        return Calibrator(np.zeros(0))
    log_prior = None if prior is None or method == "temperature" else torch.from_numpy(prior).log()
    loss = _Loss(
        torch.from_numpy(known.logits),
        torch.from_numpy(known.targets),
        torch.from_numpy(_weights(known, prior)),
        log_prior,
    )
    start = _start(known.classes, method, log_prior)
    minimize(loss, start, method="L-BFGS-B", jac=True, options=_ITERATIONS)
    return Calibrator(loss.last, None if log_prior is None else log_prior.numpy())


def _weights(known: Predicted, prior: Prior | None) -> Prior:
    """One a sample: what its class should count over what it does."""
    if prior is None:
        return np.ones(1, dtype=np.float32)
    shares = known.counts.astype(np.float32) / np.float32(len(known.targets))
    return np.asarray(prior[known.targets] / shares[known.targets])


def _start(classes: int, method: Method, log_prior: Tensor | None) -> Floats:
    """Where the scores of an affine calibration are the logits, whatever the prior."""
    if method == "temperature":
        return np.ones(1)
    shift = np.zeros(classes) if log_prior is None else -log_prior.numpy().astype(np.float64)
    return np.concatenate([np.ones(1), shift])


@dataclass(frozen=True)
class Variant:
    """The logits (n, k) of the development and of the deployment test set under one of the `VARIANTS`."""

    method: Method
    known: Known
    dev_test: Logits
    app_test: Logits


@dataclass(frozen=True)
class Calibrated:
    """A deployment, its prevalences in the precision to compute with, and all `VARIANTS` in their order."""

    deployment: Deployment
    exact: Prior
    estimated: Prior
    variants: tuple[Variant, ...]


def calibrated(
    splits: Splits, deployments: Sequence[Deployment], estimate: Callable[[Deployment], Prior]
) -> Iterator[Calibrated]:
    """Calibrate each deployment on ``dev_cal`` in every way. Raises what ``estimate`` does."""
    fixed = {method: fit(splits.dev_cal, method) for method, known in VARIANTS if known == "none"}
    for deployment in deployments:
        priors = {"exact": exact(deployment), "estimated": estimate(deployment)}
        variants = []
        for method, known in VARIANTS:
            to = fixed[method] if known == "none" else fit(splits.dev_cal, method, priors[known])
            variants.append(Variant(method, known, to(splits.dev_test.logits), to(deployment.sample.logits)))
        yield Calibrated(deployment, **priors, variants=tuple(variants))
