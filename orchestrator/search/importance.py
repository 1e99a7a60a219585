"""How much each searched key mattered for the value of a trial.

A random forest learns the values from the points. The importance of a key is how much worse the forest becomes when the
values of that key are shuffled (Breiman, "Random Forests", 2001), as a share of all keys. Optuna's fANOVA says much the
same, and takes a minute for a thousand trials, where this takes a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.settings.search import SearchSettings

_LEAST_TRIALS = 8
_TREES = 64
_SHUFFLES = 8


def importance(settings: SearchSettings, history: Sequence[Trial], metric: int = 0) -> dict[str, float]:
    """Return the importance of each key, the largest first; they add up to 1.

    It is empty for fewer than eight trials and if all values are equal. Values after different numbers of epochs say
    different things: the largest number of epochs counts that enough trials have reached.
    """
    import numpy as np

    trials, values = _comparable(settings, history, metric)
    if len(trials) < _LEAST_TRIALS or np.ptp(values) == 0:
        return {}
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    dimensions = list(settings.space.values())
    # -1 stands for a key that a trial does not have. A choice has a place of its own, in the order of the study.
    places = [[one.place(trial.params.get(one.key)) for one in dimensions] for trial in trials]
    points = np.array([[-1.0 if place is None else place for place in row] for row in places])
    # Ranks, so that one trial that went wrong is not all that the forest learns.
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)
    forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=settings.seed).fit(points, ranks)
    found = permutation_importance(forest, points, ranks, n_repeats=_SHUFFLES, random_state=settings.seed)
    means = np.clip(found.importances_mean, 0.0, None)
    if means.sum() == 0:
        return {}
    shares = dict(zip((one.key for one in dimensions), (means / means.sum()).tolist(), strict=True))
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _comparable(settings: SearchSettings, history: Sequence[Trial], metric: int) -> tuple[list[Trial], list[float]]:
    """The trials with a value after the same number of epochs, and these values."""
    good = [trial for trial in history if not trial.is_broken and trial.values]
    if settings.halving is None:
        done = [trial for trial in good if trial.state == "done"]
        return done, [trial.value[metric] for trial in done if trial.value]
    enough = max(_LEAST_TRIALS, 2 * len(settings.space))
    counts = Counter(epochs for trial in good for epochs in trial.values)
    epochs = max((one for one, count in counts.items() if count >= enough), default=None)
    if epochs is None:
        return [], []
    reached = [trial for trial in good if epochs in trial.values]
    return reached, [trial.values[epochs][metric] for trial in reached]
