"""The quantifiers once more, as slowly and as literally as their definitions read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.metrics import confusion_matrix
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KernelDensity

Floats = NDArray[Any]
Labels = NDArray[np.int64]


def minimize_on_simplex(loss: Callable[[Floats], float], classes: int) -> Floats:
    sums_to_one = {"type": "eq", "fun": lambda x: 1 - sum(x)}
    bounds = [(0, 1)] * classes
    return np.asarray(
        minimize(loss, [1 / classes] * classes, method="SLSQP", bounds=bounds, constraints=[sums_to_one]).x
    )


def cc(labelled: Floats, targets: Labels, unlabelled: Floats) -> Floats:
    chosen = [int(row.argmax()) for row in unlabelled]
    return np.array([chosen.count(number) / len(chosen) for number in range(unlabelled.shape[1])])


def pcc(labelled: Floats, targets: Labels, unlabelled: Floats) -> Floats:
    mean = np.mean(unlabelled, axis=0)
    return np.asarray(mean / np.sum(mean))


def acc(labelled: Floats, targets: Labels, unlabelled: Floats) -> Floats:
    rates = confusion_matrix(targets, labelled.argmax(axis=1), normalize="true").T
    return minimize_on_simplex(
        lambda x: float(np.linalg.norm(rates @ x - cc(labelled, targets, unlabelled))), len(rates)
    )


def pacc(labelled: Floats, targets: Labels, unlabelled: Floats) -> Floats:
    rates = np.array([labelled[targets == number].mean(axis=0) for number in range(labelled.shape[1])], dtype=float).T
    return minimize_on_simplex(
        lambda x: float(np.linalg.norm(rates @ x - pcc(labelled, targets, unlabelled))), len(rates)
    )


def bbse(labelled: Floats, targets: Labels, unlabelled: Floats) -> Floats:
    joint = confusion_matrix(targets, labelled.argmax(axis=1), normalize="all")
    ratios = np.linalg.inv(joint.T) @ cc(labelled, targets, unlabelled)
    return np.array([max(ratio, 1e-8) * share for ratio, share in zip(ratios, joint.sum(axis=1), strict=True)])


def emq(labelled: Floats, targets: Labels, unlabelled: Floats) -> Floats:
    first = np.bincount(targets) / len(targets)
    found, step = first, 0
    while True:
        posterior = found / first * unlabelled
        posterior = posterior / posterior.sum(axis=1)[:, None]
        found, previous, step = posterior.mean(axis=0), found, step + 1
        if step == 1000 or (step >= 12 and np.mean(np.abs(found - previous)) < 1e-4):
            return np.asarray(found)


def hdy(labelled: Floats, targets: Labels, unlabelled: Floats) -> Floats:
    classes = labelled.shape[1]
    channels = [0] if classes == 2 else list(range(classes))

    def histogram(values: Floats) -> Floats:
        bins = np.minimum(np.floor(values.astype(float) * 8).astype(int), 7)
        return np.bincount(bins, minlength=8) / len(values)

    parts = [[histogram(labelled[targets == number, channel]) for number in range(classes)] for channel in channels]
    found = [histogram(unlabelled[:, channel]) for channel in channels]

    def loss(x: Floats) -> float:
        mixtures = [sum(p * part for p, part in zip(x, of_channel, strict=True)) for of_channel in parts]
        return float(
            np.mean([math.dist(np.sqrt(one), np.sqrt(other)) for one, other in zip(mixtures, found, strict=True)])
        )

    return minimize_on_simplex(loss, classes)


def kdey_ml(labelled: Floats, targets: Labels, unlabelled: Floats) -> Floats:
    densities = [np.exp(density.score_samples(unlabelled)) for density in fit_class_densities(labelled, targets)]
    return minimize_on_simplex(
        lambda x: -float(np.log(sum(p * f for p, f in zip(x, densities, strict=True)) + 1e-10).sum()), labelled.shape[1]
    )


def kdey_cs(labelled: Floats, targets: Labels, unlabelled: Floats) -> Floats:
    groups = [labelled[targets == number].astype(float) for number in range(labelled.shape[1])]

    def shared(one: Floats, other: Floats) -> float:
        return float(rbf_kernel(one, other, gamma=1 / (4 * 0.1**2)).mean())

    among = np.array([[shared(one, other) for other in groups] for one in groups])
    between = np.array([shared(one, unlabelled.astype(float)) for one in groups])
    # Constant factors are constants of the loss.
    return minimize_on_simplex(lambda x: float(-np.log(x @ between) + 0.5 * np.log(x @ among @ x)), len(groups))


def kdey_hd(labelled: Floats, targets: Labels, unlabelled: Floats, seed: int) -> Floats:
    random, densities = np.random.RandomState(seed), fit_class_densities(labelled, targets)
    points = np.vstack([density.sample(10_000 // len(densities), random_state=random) for density in densities])
    classes = np.array([np.exp(density.score_samples(points)) for density in densities])
    found = np.exp(KernelDensity(bandwidth=0.1).fit(unlabelled).score_samples(points)) + 1e-10
    drawn = classes.mean(axis=0) + 1e-10

    def loss(x: Floats) -> float:
        return float(np.mean((np.sqrt(x @ (classes + 1e-10) / found) - 1) ** 2 * found / drawn))

    return minimize_on_simplex(loss, len(classes))


def fit_class_densities(labelled: Floats, targets: Labels) -> list[Any]:
    return [KernelDensity(bandwidth=0.1).fit(labelled[targets == number]) for number in range(labelled.shape[1])]


METHODS = {
    "CC": cc,
    "PCC": pcc,
    "ACC": acc,
    "PACC": pacc,
    "BBSE": bbse,
    "EMQ": emq,
    "KDEyML": kdey_ml,
    "KDEyHD": lambda known, targets, asked: kdey_hd(known, targets, asked, seed=3),
    "KDEyCS": kdey_cs,
    "HDy": hdy,
}
