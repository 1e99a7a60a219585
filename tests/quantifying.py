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


def solved(loss: Callable[[Floats], float], classes: int) -> Floats:
    whole = {"type": "eq", "fun": lambda x: 1 - sum(x)}
    bounds = [(0, 1)] * classes
    return np.asarray(minimize(loss, [1 / classes] * classes, method="SLSQP", bounds=bounds, constraints=[whole]).x)


def cc(known: Floats, targets: Labels, asked: Floats) -> Floats:
    chosen = [int(row.argmax()) for row in asked]
    return np.array([chosen.count(number) / len(chosen) for number in range(asked.shape[1])])


def pcc(known: Floats, targets: Labels, asked: Floats) -> Floats:
    mean = np.mean(asked, axis=0)
    return np.asarray(mean / np.sum(mean))


def acc(known: Floats, targets: Labels, asked: Floats) -> Floats:
    rates = confusion_matrix(targets, known.argmax(axis=1), normalize="true").T
    return solved(lambda x: float(np.linalg.norm(rates @ x - cc(known, targets, asked))), len(rates))


def pacc(known: Floats, targets: Labels, asked: Floats) -> Floats:
    rates = np.array([known[targets == number].mean(axis=0) for number in range(known.shape[1])], dtype=float).T
    return solved(lambda x: float(np.linalg.norm(rates @ x - pcc(known, targets, asked))), len(rates))


def bbse(known: Floats, targets: Labels, asked: Floats) -> Floats:
    joint = confusion_matrix(targets, known.argmax(axis=1), normalize="all")
    ratios = np.linalg.inv(joint.T) @ cc(known, targets, asked)
    return np.array([max(ratio, 1e-8) * share for ratio, share in zip(ratios, joint.sum(axis=1), strict=True)])


def emq(known: Floats, targets: Labels, asked: Floats) -> Floats:
    first = np.bincount(targets) / len(targets)
    found, step = first, 0
    while True:
        posterior = found / first * asked
        posterior = posterior / posterior.sum(axis=1)[:, None]
        found, previous, step = posterior.mean(axis=0), found, step + 1
        if step == 1000 or (step >= 12 and np.mean(np.abs(found - previous)) < 1e-4):
            return np.asarray(found)


def hdy(known: Floats, targets: Labels, asked: Floats) -> Floats:
    classes = known.shape[1]
    channels = [0] if classes == 2 else list(range(classes))

    def histogram(values: Floats) -> Floats:
        bins = np.minimum(np.floor(values.astype(float) * 8).astype(int), 7)
        return np.bincount(bins, minlength=8) / len(values)

    parts = [[histogram(known[targets == number, channel]) for number in range(classes)] for channel in channels]
    found = [histogram(asked[:, channel]) for channel in channels]

    def loss(x: Floats) -> float:
        mixtures = [sum(p * part for p, part in zip(x, of_channel, strict=True)) for of_channel in parts]
        return float(
            np.mean([math.dist(np.sqrt(one), np.sqrt(other)) for one, other in zip(mixtures, found, strict=True)])
        )

    return solved(loss, classes)


def kdey_ml(known: Floats, targets: Labels, asked: Floats) -> Floats:
    densities = [np.exp(density.score_samples(asked)) for density in by_class(known, targets)]
    return solved(
        lambda x: -float(np.log(sum(p * f for p, f in zip(x, densities, strict=True)) + 1e-10).sum()), known.shape[1]
    )


def kdey_cs(known: Floats, targets: Labels, asked: Floats) -> Floats:
    groups = [known[targets == number].astype(float) for number in range(known.shape[1])]

    def shared(one: Floats, other: Floats) -> float:
        return float(rbf_kernel(one, other, gamma=1 / (4 * 0.1**2)).mean())

    among = np.array([[shared(one, other) for other in groups] for one in groups])
    between = np.array([shared(one, asked.astype(float)) for one in groups])
    # Constant factors are constants of the loss.
    return solved(lambda x: float(-np.log(x @ between) + 0.5 * np.log(x @ among @ x)), len(groups))


def kdey_hd(known: Floats, targets: Labels, asked: Floats, seed: int) -> Floats:
    random, densities = np.random.RandomState(seed), by_class(known, targets)
    points = np.vstack([density.sample(10_000 // len(densities), random_state=random) for density in densities])
    classes = np.array([np.exp(density.score_samples(points)) for density in densities])
    found = np.exp(KernelDensity(bandwidth=0.1).fit(asked).score_samples(points)) + 1e-10
    drawn = classes.mean(axis=0) + 1e-10

    def loss(x: Floats) -> float:
        return float(np.mean((np.sqrt(x @ (classes + 1e-10) / found) - 1) ** 2 * found / drawn))

    return solved(loss, len(classes))


def by_class(known: Floats, targets: Labels) -> list[Any]:
    return [KernelDensity(bandwidth=0.1).fit(known[targets == number]) for number in range(known.shape[1])]


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
