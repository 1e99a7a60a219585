"""Successive halving: who is promoted, who is given up, and where that differs from Optuna."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_search import SimulatedSearch

from seedfold.orchestrator.search.decide import is_over, next_decision
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.rungs import Bracket, bracket_of, rung_epochs
from seedfold.orchestrator.settings.search import Halving, SearchSettings


def settings_of(**changes: Any) -> SearchSettings:
    given = {
        "space": {"x": {"uniform": [0, 1]}},
        "sampler": "random",
        "trials": 27,
        "metric": "accuracy",
        "halving": {"min": 1, "max": 27, "eta": 3},
        "parallel": 3,
    }
    return SearchSettings.parse({**given, **changes})


def noisy(params: Any, epochs: int) -> float:
    """A value whose order changes with the epochs, as that of trainings does."""
    return float(params["x"] + ((params["x"] * 997 * epochs) % 1) / epochs)


def test_rungs_end_at_multiples_of_eta_and_with_the_whole_training() -> None:
    assert rung_epochs(Halving(1, 27, 3)) == (1, 3, 9, 27)
    assert rung_epochs(Halving(1, 27, 3), bracket=2) == (9, 27)
    assert rung_epochs(Halving(2, 50, 4)) == (2, 8, 32, 50)
    assert rung_epochs(Halving(5, 5, 3)) == (5,)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(2, 4), st.integers(1, 3), st.randoms(use_true_random=False))
def test_every_trial_comes_to_an_end_whatever_the_order_of_results(
    trials: int, parallel: int, eta: int, brackets: int, random: Any
) -> None:
    halving = {"min": 1, "max": 27, "eta": eta, "brackets": brackets}
    search = SimulatedSearch(settings_of(trials=trials, parallel=parallel, halving=halving), noisy)
    while True:
        while random.random() < 0.8 and search.decide() is not None:
            assert len(search.running) <= parallel
        if search.running:
            search.finish(random.choice(search.running).number)
        elif is_over(search.settings, search.history):
            break
    states = Counter(trial.state for trial in search.history)
    assert len(search.history) == trials
    assert states["done"] >= 1
    assert states["done"] + states["pruned"] == trials
    for number in range(brackets):
        bracket = Bracket(search.settings, search.history, number)
        for rung in range(len(bracket.epochs) - 1):
            standing = bracket.standing(rung)
            # Nobody was given up who is among the best in the end.
            assert all(trial.rung > rung for trial in standing[: max(len(standing) // eta, 1)])


def test_a_trial_is_promoted_as_soon_as_it_is_among_the_best() -> None:
    search = SimulatedSearch(settings_of(parallel=4), lambda params, epochs: params["x"])
    for _ in range(4):
        search.decide()
    for number in range(3):
        search.finish(number)
    best = max(range(3), key=lambda number: search.trials[number].params["x"])
    decision = search.decide()
    assert decision is not None
    assert (decision.kind, decision.trial, decision.rung, decision.epochs) == ("promote", best, 1, 3)
    # The fourth still runs: nobody waited for it.
    assert search.trials[3].state == "running"


def test_the_highest_rung_is_promoted_first_and_the_last_one_is_trained_to_the_end() -> None:
    search = SimulatedSearch(settings_of(parallel=1), lambda params, epochs: params["x"])
    search.run()
    kinds = [(decision.kind, decision.rung, decision.epochs) for decision in search.decisions]
    assert ("promote", 3, None) in kinds
    first_of_each = [kinds.index(("promote", rung, epochs)) for rung, epochs in ((1, 3), (2, 9), (3, None))]
    assert first_of_each == sorted(first_of_each)
    best = max(search.history, key=lambda trial: trial.params["x"])
    assert best.state == "done"


def test_a_paused_trial_is_given_up_only_when_nothing_can_promote_it() -> None:
    settings = settings_of(trials=6, halving={"max": 3}, parallel=6)
    search = SimulatedSearch(settings, lambda params, epochs: params["x"])
    for _ in range(6):
        search.decide()
    order = sorted(range(6), key=lambda number: search.trials[number].params["x"])
    for number in order[:2]:
        search.finish(number)
    # Six results promote two trials: each of these two can still be one of them.
    assert search.decide() is None
    search.finish(order[5])
    # Now one of them is worse than two others.
    decisions = [search.decide(), search.decide()]
    assert [(one.kind, one.trial) for one in decisions if one] == [("prune", order[0]), ("promote", order[5])]


def test_a_small_search_also_trains_one_trial_to_the_end() -> None:
    search = SimulatedSearch(settings_of(trials=2), lambda params, epochs: params["x"])
    search.run()
    assert [trial.state for trial in search.history].count("done") == 1


def test_the_first_rung_promotes_whom_optuna_lets_go_on() -> None:
    """With at least ``eta`` results. Optuna stops the others for good, here they can still be promoted later."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    settings, history = settings_of(trials=300), []
    later = 0
    for number in range(100):
        value = (number * 0.6180339887 + 0.3) % 1
        trial = study.ask()
        trial.report(value, 1)
        stopped = trial.should_prune()
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        history.append(Trial(number, {"x": value}, "paused", values={1: (value,)}, told=number))
        promotable = [one.number for one in Bracket(settings, history, 0).promotable()]
        if number >= 2:
            assert (number not in promotable) == stopped
        later += sum(one != number for one in promotable)
        history = [replace(one, state="running", rung=1) if one.number in promotable else one for one in history]
    assert later > 0


def test_brackets_share_the_trials_as_optunas_hyperband_does() -> None:
    settings = settings_of(halving={"max": 27, "brackets": "all"})
    counts = Counter(bracket_of(settings, number) for number in range(2000))
    # Optuna's shares for four brackets and eta 3 are 27, 12, 6 and 4.
    assert [round(49 * counts[bracket] / 2000) for bracket in range(4)] == pytest.approx([27, 12, 6, 4], abs=1)
    search = SimulatedSearch(settings, noisy)
    search.run()
    begun = {decision.trial: decision.epochs for decision in search.decisions if decision.kind == "start"}
    assert set(begun.values()) == {1, 3, 9, None}


def test_a_trial_that_failed_is_the_worst_of_its_rung_or_not_counted() -> None:
    trials = [Trial(number, {"x": 0.1 * number}, "paused", values={1: (float(number),)}) for number in range(2)]
    failed = Trial(2, {"x": 0.5}, "failed")
    counted = next_decision(settings_of(failed="worst"), [*trials, failed])
    assert counted is not None
    assert (counted.kind, counted.trial) == ("promote", 1)
    ignored = next_decision(settings_of(failed="ignore"), [*trials, failed])
    assert ignored is not None
    assert (ignored.kind, ignored.trial) == ("start", 3)


def test_a_trial_that_failed_is_tried_once_more() -> None:
    def train(params: Any, epochs: int) -> float:
        raise ValueError

    search = SimulatedSearch(settings_of(failed="retry", trials=2, halving=None), train)
    search.run()
    assert [(one.kind, one.trial) for one in search.decisions].count(("retry", 0)) == 1
    assert [trial.state for trial in search.history] == ["failed", "failed"]


def test_a_paused_trial_whose_value_is_not_a_number_is_given_up() -> None:
    search = SimulatedSearch(settings_of(trials=1), lambda params, epochs: float("nan"))
    search.run()
    assert search.trials[0].state == "pruned"


def test_the_median_pruner_of_optuna_stops_trials_while_they_run() -> None:
    settings = settings_of(halving=None, prune="median", parallel=2)
    done = [
        Trial(number, {"x": 0.1}, "done", values={1: (0.5,), 2: (0.6 + number / 100,)}, told=number)
        for number in range(5)
    ]
    behind = Trial(5, {"x": 0.2}, values={1: (0.4,), 2: (0.55,)})
    ahead = Trial(6, {"x": 0.3}, values={1: (0.4,), 2: (0.7,)})
    decision = next_decision(settings, [*done, ahead, behind])
    assert decision is not None
    assert (decision.kind, decision.trial, decision.epochs) == ("prune", 5, 2)
    assert next_decision(settings, [*done, ahead, replace(behind, number=7, values={1: (0.5,)})]) is None
    # The first five trials are never stopped.
    assert next_decision(settings, [*done[:4], ahead, behind]) is None


def test_another_pruner_is_named_by_its_class() -> None:
    percentile = {"_target_": "optuna.pruners.PercentilePruner", "percentile": 75.0, "n_startup_trials": 1}
    settings = settings_of(halving=None, prune=percentile, parallel=1)
    done = [Trial(number, {"x": 0.1}, "done", values={2: (number / 10,)}, told=number) for number in range(5)]
    decisions = [next_decision(settings, [*done, Trial(5, {"x": 0.2}, values={2: (value,)})]) for value in (0.05, 0.15)]
    assert [decision and decision.kind for decision in decisions] == ["prune", None]
