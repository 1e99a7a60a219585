"""What a search has found: the best trial, the front, the history, the importance of keys, the rungs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from simulated_search import SimulatedSearch

from seedfold.orchestrator.search.analysis import (
    Told,
    best_trial,
    optimisation_history,
    parallel_coordinates,
    pareto_front,
    rungs_table,
    search_summary,
)
from seedfold.orchestrator.search.history import Trial, warm_trials
from seedfold.orchestrator.search.importance import importance
from seedfold.orchestrator.search.trials_table import COLUMNS, trials_frame, trials_table
from seedfold.orchestrator.settings.search import SearchSettings

SPACE = {"lr": {"log_uniform": [1e-4, 1.0]}, "width": [16, 32], "drop": {"uniform": [0, 1], "only": "width=32"}}


def settings_of(**changes: Any) -> SearchSettings:
    return SearchSettings.parse({"space": SPACE, "sampler": "random", "trials": 60, "metric": "accuracy", **changes})


def done(number: int, *values: float, params: dict[str, Any] | None = None) -> Trial:
    return Trial(number, params or {"lr": 0.01, "width": 16}, "done", values={9: values}, told=number)


def test_the_best_trial_is_one_that_was_trained_to_its_end() -> None:
    trials = [
        Trial(0, {}, "pruned", values={1: (0.99,)}),
        done(1, 0.8),
        done(2, 0.9),
        done(3, float("nan")),
        replace(done(4, 0.95), state="failed"),
        replace(done(-1, 0.97), number=-1),
    ]
    best = best_trial(settings_of(), trials)
    assert best == trials[2]
    lowest = best_trial(settings_of(direction="minimize"), trials)
    assert lowest == trials[1]
    assert best_trial(settings_of(), trials[:1]) == trials[0]
    assert best_trial(settings_of(), []) is None


def test_the_front_has_the_trials_that_no_other_one_beats() -> None:
    settings = settings_of(metric=["accuracy", "time"], direction=["maximize", "minimize"])
    trials = [done(0, 0.9, 10.0), done(1, 0.8, 5.0), done(2, 0.85, 12.0), done(3, 0.9, 10.0)]
    assert [trial.number for trial in pareto_front(settings, trials)] == [0, 1, 3]
    assert [one["value"] for one in search_summary(settings, trials)["front"]] == [[0.9, 10.0], [0.8, 5.0], [0.9, 10.0]]


def test_the_history_is_in_the_order_of_results() -> None:
    trials = [replace(done(0, 0.7), told=2), replace(done(1, 0.9), told=1), Trial(2, {}, "paused", 0, {1: (0.95,)}, 0)]
    assert optimisation_history(settings_of(), trials) == [
        Told(2, 0.95, 1, False, None),
        Told(1, 0.9, 9, True, 0.9),
        Told(0, 0.7, 9, True, 0.9),
    ]


def test_the_summary_counts_trials_by_state() -> None:
    trials = [done(0, 0.7), Trial(1, {}, "paused", values={1: (0.5,)}), Trial(2, {}), Trial(3, {}, "failed")]
    assert search_summary(settings_of(), trials) == {
        "trials": 4,
        "of": 60,
        **{"running": 1, "done": 1, "paused": 1, "pruned": 0, "failed": 1},
        "best": {"trial": 0, "value": 0.7, "params": {"lr": 0.01, "width": 16}},
    }


def test_the_key_that_matters_is_the_most_important_one() -> None:
    search = SimulatedSearch(settings_of(), lambda params, epochs: -((params["lr"] - 0.3) ** 2) + params["width"] / 500)
    search.run()
    found = importance(search.settings, search.history)
    assert next(iter(found)) == "lr"
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["drop"] < 0.2
    assert importance(search.settings, search.history[:5]) == {}
    assert importance(search.settings, [replace(trial, values={9: (1.0,)}) for trial in search.history]) == {}


def test_importance_compares_values_after_as_many_epochs() -> None:
    settings = settings_of(trials=40, halving={"max": 9}, space={"lr": SPACE["lr"], "width": [16, 32]})
    search = SimulatedSearch(settings, lambda params, epochs: params["lr"] + 10 * epochs)
    search.run()
    assert next(iter(importance(settings, search.history))) == "lr"


def test_the_rungs_say_where_the_trials_are() -> None:
    settings = settings_of(trials=9, halving={"max": 9}, parallel=1)
    search = SimulatedSearch(settings, lambda params, epochs: params["lr"])
    search.run()
    rows = rungs_table(settings, search.history)
    assert [(row.epochs, row.reached) for row in rows[:1]] == [(1, 9)]
    assert [row.epochs for row in rows] == [1, 3, 9]
    assert all(row.reached == row.promoted + row.pruned for row in rows[:2])
    assert rows[2].reached == rows[1].promoted >= 1
    assert rows[0].best == max(trial.params["lr"] for trial in search.history)
    assert rungs_table(settings_of(), search.history) == []


def test_places_of_parallel_coordinates_are_between_the_bounds() -> None:
    trials = [
        done(0, 0.7, params={"lr": 0.01, "width": 32, "drop": 0.25}),
        done(1, 0.6, params={"lr": 1.0, "width": 16}),
    ]
    found = parallel_coordinates(settings_of(), trials)
    assert [axis.key for axis in found.axes] == ["lr", "width", "drop"]
    assert found.axes[0].ticks == {"0.0001": 0.0, "0.01": pytest.approx(0.5), "1": 1.0}
    assert found.axes[1].ticks == {"16": 0.0, "32": 1.0}
    worse, better = found.rows
    assert (worse[0], worse[1], worse[2]) == (1, (1.0, 0.0, None), 0.6)
    assert (better[0], better[1]) == (0, (pytest.approx(0.5), 1.0, 0.25))


def test_the_table_has_a_column_for_each_searched_key() -> None:
    columns, rows = trials_table(settings_of(), [done(1, 0.7), Trial(0, {"lr": 0.1, "width": 16})])
    assert columns == (*COLUMNS, "lr", "width", "drop")
    assert rows == [
        {
            "trial": 0,
            "state": "running",
            "value": None,
            "rung": None,
            "epochs": None,
            "lr": 0.1,
            "width": 16,
            "drop": None,
        },
        {"trial": 1, "state": "done", "value": 0.7, "rung": None, "epochs": 9, "lr": 0.01, "width": 16, "drop": None},
    ]
    frame = trials_frame(settings_of(), [done(1, 0.7), Trial(0, {"lr": 0.1, "width": 16})])
    assert [str(frame[name].dtype) for name in ("trial", "value", "rung", "lr")] == [
        *("Int64", "float64", "Int64", "float64")
    ]
    assert trials_frame(settings_of(), []).columns.tolist() == list(columns)
    several = settings_of(metric=["accuracy", "time"])
    assert trials_table(several, [done(0, 0.7, 3.0)])[0][2:4] == ("value_accuracy", "value_time")


def test_finished_jobs_are_trials_that_were_not_asked_for() -> None:
    rows = [
        ({"lr": 0.1, "width": 16, "seed": 0}, (0.5,)),
        ({"lr": 0.1, "width": 16, "seed": 1}, (0.7,)),
        ({"lr": 2.0, "width": 16}, (0.9,)),
        ({"lr": 0.1, "width": 32}, (0.9,)),
    ]
    assert warm_trials(settings_of(), rows) == [
        Trial(-1, {"lr": 0.1, "width": 16}, "done", values={0: (pytest.approx(0.6),)})
    ]
