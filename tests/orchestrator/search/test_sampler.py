"""Samplers ask for the points that Optuna's own ask for, with the same history and the same random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import optuna
import pytest
from simulated_search import SimulatedSearch

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.sampler import next_params, trial_seed
from seedfold.orchestrator.settings.search import SearchSettings

SPACE = {"x": {"uniform": [-5, 5]}, "y": {"log_uniform": [1e-3, 10]}, "n": {"int_uniform": [1, 9, 2]}, "c": ["a", "b"]}
NUMBERS = {"x": {"uniform": [-5, 5]}, "y": {"uniform": [-3, 7]}}


def settings_of(sampler: Any, space: dict[str, Any] = SPACE, **changes: Any) -> SearchSettings:
    given = {"space": space, "sampler": sampler, "trials": 300, "metric": "loss", "direction": "minimize", "seed": 3}
    return SearchSettings.parse({**given, **changes})


def branin(params: dict[str, Any]) -> float:
    """Branin's function, with three minima of 0.397887 (x from -5 to 10, y from 0 to 15)."""
    x, y = params["x"], params["y"]
    valley = (y - 5.1 * x**2 / (4 * math.pi**2) + 5 * x / math.pi - 6) ** 2
    return float(valley + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def mixed(params: dict[str, Any]) -> float:
    return float((params["x"] - 2) ** 2 + math.log(params["y"]) ** 2 + params["n"] + (params["c"] == "b"))


def optunas_own(
    settings: SearchSettings,
    make: Callable[[int], Any],
    ask: Callable[[Any], dict[str, Any]],
    value: Callable[[dict[str, Any]], float],
    count: int,
) -> list[Trial]:
    """What Optuna asks for, one trial after the other, with a sampler of a new seed for each trial."""
    study = optuna.create_study(directions=list(settings.directions))
    found = []
    for number in range(count):
        study.sampler = make(trial_seed(settings, number))
        trial = study.ask()
        params = ask(trial)
        study.tell(trial, value(params))
        found.append(Trial(number, params, "done", values={0: (value(params),)}, told=number, known=number))
    return found


def ask_mixed(trial: Any) -> dict[str, Any]:
    return {
        "x": trial.suggest_float("x", -5, 5),
        "y": trial.suggest_float("y", 1e-3, 10, log=True),
        "n": trial.suggest_int("n", 1, 9, step=2),
        "c": trial.suggest_categorical("c", ["a", "b"]),
    }


def ask_numbers(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", -5, 5), "y": trial.suggest_float("y", -3, 7)}


def check_same(settings: SearchSettings, own: Sequence[Trial], numbers: Sequence[int]) -> None:
    for number in numbers:
        assert next_params(settings, own[:number]) == own[number].params, number


def test_random_points_are_those_of_optuna() -> None:
    settings = settings_of("random")
    own = optunas_own(settings, lambda seed: optuna.samplers.RandomSampler(seed=seed), ask_mixed, mixed, 300)
    check_same(settings, own, range(0, 300, 20))


@pytest.mark.parametrize("count", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_tpe_asks_for_the_points_of_optuna(count: int) -> None:
    settings = settings_of("tpe")
    own = optunas_own(
        settings, lambda seed: optuna.samplers.TPESampler(seed=seed, constant_liar=True), ask_mixed, mixed, count
    )
    check_same(settings, own, [0, 1, 9, 10, 11, count // 2, count - 1])
    assert count < 300 or min(mixed(dict(trial.params)) for trial in own) < 1.2


@pytest.mark.parametrize("count", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_cma_es_asks_for_the_points_of_optuna(count: int) -> None:
    settings = settings_of("cmaes", {"x": {"uniform": [-5, 10]}, "y": {"uniform": [0, 15]}})

    def ask(trial: Any) -> dict[str, Any]:
        return {"x": trial.suggest_float("x", -5, 10), "y": trial.suggest_float("y", 0, 15)}

    own = optunas_own(settings, lambda seed: optuna.samplers.CmaEsSampler(seed=seed), ask, branin, count)
    check_same(settings, own, [0, 1, 7, count - 1])
    assert count < 300 or min(branin(dict(trial.params)) for trial in own) == pytest.approx(0.397887, abs=1e-3)


def test_a_sampler_by_its_class_remembers_what_it_did() -> None:
    settings = settings_of({"_target_": "optuna.samplers.NSGAIISampler", "population_size": 4}, NUMBERS)

    def make(seed: int) -> Any:
        return optuna.samplers.NSGAIISampler(population_size=4, seed=seed)

    own = optunas_own(settings, make, ask_numbers, lambda params: params["x"] ** 2 + params["y"] ** 2, 20)
    points = [trial.params for trial in own]
    # A point that was tried before is the same job: another one is asked for then.
    new = next((number for number in range(20) if points[number] in points[:number]), 20)
    assert new > 4
    check_same(settings, own, range(new))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(optuna.samplers, "GPSampler"), reason="this Optuna has no GPSampler")
def test_gp_asks_for_the_points_of_optuna() -> None:
    settings = settings_of("gp", NUMBERS)
    own = optunas_own(
        settings,
        lambda seed: optuna.samplers.GPSampler(seed=seed),
        ask_numbers,
        lambda params: params["x"] ** 2 + params["y"] ** 2,
        13,
    )
    check_same(settings, own, [0, 11, 12])


def test_a_grid_has_each_point_once() -> None:
    space = {"a": [1, 1.0, True, None, [1, 2]], "b": "range(0,3)"}
    search = SimulatedSearch(settings_of("grid", space, trials=100), lambda params, epochs: params["b"])
    search.run()
    points = [trial.params for trial in search.history]
    assert len(points) == len({repr(point) for point in points}) == 15


def test_keys_that_others_leave_out_are_not_part_of_a_point() -> None:
    space = {"kind": ["sgd", "adam"], "momentum": {"uniform": [0, 1], "only": "kind=sgd"}}
    for sampler in ("tpe", "random"):
        search = SimulatedSearch(settings_of(sampler, space, trials=14), lambda params, epochs: len(params))
        search.run()
        points = [trial.params for trial in search.history]
        # There is one point with adam, and it is not tried twice.
        assert [set(point) for point in points].count({"kind"}) <= 1
        assert all(("momentum" in point) == (point["kind"] == "sgd") for point in points)


def test_a_space_whose_points_can_be_listed_is_used_up() -> None:
    space = {"a": [1, 2, 3], "b": "range(0,3)"}
    settings = settings_of("tpe", space, only=[{"a": [1, 2]}, {"b": 0}])
    search = SimulatedSearch(settings, lambda params, epochs: params["a"])
    search.run()
    assert sorted((trial.params["a"], trial.params["b"]) for trial in search.history) == [
        *((1, b) for b in range(3)),
        *((2, b) for b in range(3)),
        (3, 0),
    ]


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_conditions_that_leave_no_point_are_refused(sampler: str) -> None:
    with pytest.raises(UsageError, match=r"search\.only: leaves no point of the space"):
        next_params(settings_of(sampler, {"a": [1, 2], "b": [1, 2]}, only=["a>2"]), ())


def test_the_study_fixes_the_first_points_or_a_part_of_them() -> None:
    settings = settings_of("tpe", first=[{"x": 1.5, "y": 0.1, "n": 3, "c": "b"}, {"c": "b", "n": 9}], trials=3)
    search = SimulatedSearch(settings, lambda params, epochs: mixed(dict(params)))
    search.run()
    assert search.trials[0].params == {"x": 1.5, "y": 0.1, "n": 3, "c": "b"}
    assert (search.trials[1].params["n"], search.trials[1].params["c"]) == (9, "b")
    assert -5 <= search.trials[1].params["x"] <= 5


def test_values_that_are_not_numbers_count_as_the_study_says() -> None:
    points = optunas_own(
        settings_of("tpe"), lambda seed: optuna.samplers.RandomSampler(seed=seed), ask_mixed, mixed, 30
    )
    broken = [replace(trial, values={0: (math.nan,)}) if trial.number % 3 == 0 else trial for trial in points]
    worst = max(mixed(dict(trial.params)) for trial in points if trial.number % 3)
    as_worst = [replace(trial, values={0: (worst,)}) if trial.number % 3 == 0 else trial for trial in points]
    assert next_params(settings_of("tpe"), broken) == next_params(settings_of("tpe"), as_worst)
    ignored = next_params(settings_of("tpe", failed="ignore"), broken)
    assert ignored is not None
    assert ignored != next_params(settings_of("tpe"), broken)


def test_the_order_in_which_the_history_is_given_does_not_matter() -> None:
    points = optunas_own(
        settings_of("tpe"), lambda seed: optuna.samplers.RandomSampler(seed=seed), ask_mixed, mixed, 15
    )
    assert next_params(settings_of("tpe"), points[::-1]) == next_params(settings_of("tpe"), points)


def test_finished_jobs_of_other_studies_are_learned_from() -> None:
    known = [
        Trial(-number, {"x": 2 + number / 99, "y": 1.0, "n": 1, "c": "a"}, "done", values={0: (1.0,)})
        for number in range(1, 9)
    ]
    known += [
        Trial(-number, {"x": -4.0, "y": 9.0, "n": 9, "c": "b"}, "done", values={0: (60.0,)}) for number in range(9, 30)
    ]
    learned = next_params(settings_of("tpe"), known)
    assert learned is not None
    assert learned["x"] > 0
    assert learned["c"] == "a"
