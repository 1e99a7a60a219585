"""How busy a search keeps its places, how soon it has a good score, and how many epochs it trains for it.

Trainings take a tenth of the time or all of it, depending on the point. Seedfold's search is measured beside Hydra's
Optuna sweeper, which asks for a batch of trials and waits for all of them, with the launchers joblib and submitit; and
its successive halving beside Ray Tune's ASHA, which stops trials where Seedfold pauses them. A peer that is not
installed is named as such, without figures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks._figures import Figure, NotMeasured, Unit, main
from benchmarks._searches import (
    Outcome,
    Size,
    has_modules,
    search_with_optuna_sweeper,
    search_with_ray,
    search_with_seedfold,
)

QUICK = Size(trials=4, slots=2, shortest_s=0.02, epochs=3)
FULL = Size(trials=24, slots=4, shortest_s=0.5)
GOOD_SCORE = 0.96
"""The best point reaches 0.967 after nine epochs. Searches with other random numbers take other times to it."""


def whole_trainings(folder: Path, size: Size) -> list[Figure]:
    """Compare searches whose trials are all trained to their end."""
    ours = search_with_seedfold(folder / "seedfold", size, halving=False)
    figures = []
    for launcher, module in (
        ("joblib", "hydra_plugins.hydra_joblib_launcher"),
        ("submitit_local", "hydra_plugins.hydra_submitit_launcher"),
    ):
        peer = f"Optuna sweeper, {launcher}"
        if not has_modules("hydra_plugins.hydra_optuna_sweeper", module):
            figures.append(Figure("idle places", ours.idle_percent, None, f"{peer}: not installed", "%", most=5))
            continue
        theirs = search_with_optuna_sweeper(folder / launcher, size, launcher)
        figures += [
            Figure("idle places", ours.idle_percent, theirs.idle_percent, peer, "%", most=5),
            Figure(f"{size.trials} trials", ours.duration_s, theirs.duration_s, peer),
            Figure("time to a good score", ours.seconds_to(GOOD_SCORE), theirs.seconds_to(GOOD_SCORE), peer),
        ]
    return figures


def halved_trainings(folder: Path, size: Size) -> list[Figure]:
    """Compare searches that train most trials for a short time only."""
    ours = search_with_seedfold(folder / "halving", size, halving=True)
    theirs = search_with_ray(folder / "tuned", size) if has_modules("ray") else None
    return [
        _halved("idle places", lambda one: one.idle_percent, ours, theirs, "%"),
        _halved("epochs trained", lambda one: len(one.epochs), ours, theirs, "epochs"),
        _halved("time to a good score", lambda one: one.seconds_to(GOOD_SCORE), ours, theirs),
        _halved(f"{size.trials} trials", lambda one: one.duration_s, ours, theirs),
    ]


def _halved(
    name: str, read: Callable[[Outcome], float], ours: Outcome, theirs: Outcome | None, unit: Unit = "s"
) -> Figure:
    peer = None if theirs is None else read(theirs)
    installed = ": not installed" if theirs is None else ""
    return Figure(f"halving: {name}", read(ours), peer, f"Ray Tune, ASHA{installed}", unit)


def measure(quick: bool) -> list[Figure]:
    """Measure both."""
    if not has_modules("optuna"):
        raise NotMeasured("Optuna is not installed")
    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        return [*whole_trainings(Path(folder), size), *halved_trainings(Path(folder), size)]


if __name__ == "__main__":
    main(measure)
