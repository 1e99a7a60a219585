"""The key `search`: what it reads, and one line for each thing that it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.settings.search import Budget, Halving, SearchSettings
from seedfold.orchestrator.settings.search_space import parse_space

SPACE = {"optimizer.lr": {"log_uniform": [1e-5, 0.1]}, "model.width": [16, 32, 64]}


def parse(**changes: Any) -> SearchSettings:
    given = {"space": SPACE, "trials": 20, "metric": "val/accuracy", **changes}
    return SearchSettings.parse({key: value for key, value in given.items() if value is not None})


def test_all_keys_are_read() -> None:
    settings = parse(
        sampler="random",
        direction="minimize",
        over=["seed", "fold"],
        halving={"resource": "epochs", "min": 2, "max": 54, "eta": 3, "brackets": "all"},
        parallel=16,
        seed=7,
        failed="retry",
        first=[{"lr": 0.01}],
        only=["width=16,32", {"optimizer.lr": "<0.01"}],
        warm_start="digits",
        budget={"job_hours": 100, "wall_time": "12h"},
    )
    assert settings.metrics == ("val/accuracy",)
    assert settings.directions == ("minimize",)
    assert settings.halving == Halving(2, 54, 3, "epochs", brackets=4)
    assert settings.first == ({"optimizer.lr": 0.01},)
    assert settings.warm_start == ("digits",)
    assert settings.budget == Budget(360_000.0, 43_200.0)
    assert settings.allows({"model.width": 64, "optimizer.lr": 0.001})
    assert not settings.allows({"model.width": 64, "optimizer.lr": 0.1})


def test_most_of_them_can_be_left_out() -> None:
    settings = parse()
    assert (settings.sampler, settings.directions, settings.failed) == ("tpe", ("maximize",), "worst")
    assert (settings.halving, settings.prune, settings.over, settings.seed) == (None, None, None, 0)


def test_a_grid_needs_no_number_of_trials() -> None:
    space = {"a": [1, 2], "b": "range(0,3)", "c": {"uniform": [0, 1], "step": 0.5}}
    assert parse(space=space, sampler="grid", trials=None).trials == 18


def test_a_program_that_returns_a_number_needs_no_metric() -> None:
    given = {"space": SPACE, "trials": 3, "direction": "minimize"}
    assert SearchSettings.parse(given, needs_metric=False).metrics == ()


def test_several_metrics_have_a_direction_each() -> None:
    assert parse(metric=["val/accuracy", "time"], direction=["maximize", "minimize"]).directions[1] == "minimize"


@pytest.mark.parametrize(
    ("entry", "kind", "low", "high", "step", "log"),
    [
        ({"uniform": [0, 0.2]}, "float", 0, 0.2, None, False),
        ({"uniform": [0, 0.2, 0.05]}, "float", 0, 0.2, 0.05, False),
        ({"uniform": [0, 1], "step": 0.3}, "float", 0, 0.9, 0.3, False),
        ({"log_uniform": [1e-5, 1e-1]}, "float", 1e-5, 0.1, None, True),
        ({"int_uniform": [1, 9]}, "int", 1, 9, 1, False),
        ({"int_uniform": [1, 10, 2]}, "int", 1, 9, 2, False),
        ({"log_int_uniform": [1, 512]}, "int", 1, 512, None, True),
        ("interval(0,1)", "float", 0.0, 1.0, None, False),
        ("int(interval(1,8))", "int", 1, 8, 1, False),
        ("tag(log,interval(0.001,1))", "float", 0.001, 1.0, None, True),
        ("range(1,9)", "int", 1, 8, 1, False),
        ("range(1,9,3)", "int", 1, 7, 3, False),
        ("range(0,1,0.25)", "float", 0.0, 0.75, 0.25, False),
        ({"type": "float", "low": 0.1, "high": 1, "log": True}, "float", 0.1, 1, None, True),
        ({"type": "int", "low": 2, "high": 8, "step": 3}, "int", 2, 8, 3, False),
    ],
)
def test_dimensions_of_numbers(entry: Any, kind: str, low: float, high: float, step: float | None, log: bool) -> None:
    one = parse_space({"a.b": entry})["a.b"]
    assert (one.kind, one.low, one.high, one.step, one.log) == (kind, low, high, step, log)


@pytest.mark.parametrize(
    ("entry", "choices"),
    [
        (["mlp", "cnn"], ("mlp", "cnn")),
        ("mlp,cnn", ("mlp", "cnn")),
        ("1,true,null,1.0", (1, True, None, 1.0)),
        ("range(3,0,-1)", (3, 2, 1)),
        ({"choice": [[1, 2], [3]]}, ([1, 2], [3])),
        ({"type": "categorical", "choices": ["a", "b"]}, ("a", "b")),
    ],
)
def test_dimensions_of_choices(entry: Any, choices: tuple[Any, ...]) -> None:
    one = parse_space({"+model": entry})["model"]
    assert (one.kind, one.choices, one.prefix) == ("choice", choices, "+")


def test_keys_with_dots_may_have_become_nodes_on_the_command_line() -> None:
    space = parse_space({"optimizer": {"lr": {"uniform": [0, 1]}, "beta": {"choice": [1, 2]}}})
    assert list(space) == ["optimizer.lr", "optimizer.beta"]


def test_values_with_steps_are_written_as_short_as_the_step() -> None:
    assert parse_space({"a": {"uniform": [0, 0.2], "step": 0.05}})["a"].grid() == (0.0, 0.05, 0.1, 0.15, 0.2)


def test_a_key_may_be_searched_only_beside_some_values_of_others() -> None:
    space = parse_space({"optimizer": ["sgd", "adam"], "momentum": {"uniform": [0, 1], "only": {"optimizer": "sgd"}}})
    assert space["momentum"].is_active({"optimizer": "sgd"})
    assert not space["momentum"].is_active({"optimizer": "adam"})


def test_over_is_all_axes_of_the_matrix() -> None:
    assert parse().with_axes(["seed", "fold"]).over == ("seed", "fold")
    assert parse(over="split.fold").with_axes(["split.fold"]).over == ("split.fold",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "tep"}, "search.sampler: 'tep': no such word (did you mean 'tpe'?)"),
        ({"sampler": {"seed": 1}}, "search.sampler._target_: is missing"),
        ({"sampler": {"_target_": "a.B", "seed": 1}}, "search.sampler.seed: each trial has a seed of its own"),
        ({"sampler": "grid"}, "search.space.optimizer.lr: a grid needs a list of values, or a step"),
        (
            {"sampler": "cmaes", "space": {"a": [1, 2]}},
            "search.sampler: cmaes searches numbers, and the space has none",
        ),
        ({"space": {}}, "search.space: has no dimensions"),
        ({"space": {"a": []}}, "search.space.a: has no values"),
        ({"space": {"a": [1, 1]}}, "search.space.a: the value 1 is given twice"),
        ({"space": {"a": 3}}, "search.space.a: 3 is one value, which cannot be searched"),
        ({"space": {"a": "adam"}}, "search.space.a: 'adam' is one value, which cannot be searched"),
        ({"space": {"a": "choice(1"}}, "search.space.a: "),
        ({"space": {"a": [1, 2], "+a": [1, 2]}}, "search.space.+a: is given twice"),
        (
            {"space": {"a": {"loguniform": [1, 2]}}},
            "search.space.a.loguniform: no such distribution (did you mean 'log_",
        ),
        ({"space": {"a": {"step": 1}}}, "search.space.a: needs one distribution and has 0"),
        ({"space": {"a": {"uniform": 3}}}, "search.space.a.uniform: 3 is not a pair"),
        (
            {"space": {"a": {"uniform": [2, 1]}}},
            "search.space.a.uniform: 2 is larger than 1; write the lower bound first",
        ),
        ({"space": {"a": {"uniform": ["x", 1]}}}, "search.space.a.uniform: the lower bound 'x' is not a number"),
        ({"space": {"a": {"uniform": [0, True]}}}, "search.space.a.uniform: the upper bound True is not a number"),
        ({"space": {"a": {"uniform": [0, 1, 0]}}}, "search.space.a.uniform: step 0 is not above 0"),
        ({"space": {"a": {"log_uniform": [0, 1]}}}, "search.space.a.log_uniform: a logarithm needs numbers above 0"),
        ({"space": {"a": {"log_uniform": [1, 2, 1]}}}, "search.space.a.log_uniform: a logarithm has no steps"),
        ({"space": {"a": {"int_uniform": [1, 2.5]}}}, "search.space.a.int_uniform: the upper bound 2.5 is not a whole"),
        ({"space": {"a": "tag(log,interval(0,1))"}}, "search.space.a: a logarithm needs numbers above 0"),
        ({"space": {"a": {"type": "flaot"}}}, "search.space.a.type: flaot: no such type (did you mean 'float'?)"),
        (
            {"space": {"a": {"uniform": [0, 1], "only": {"b": 1}}, "b": [1, 2]}},
            "search.space.a.only: b: no dimension before",
        ),
        ({"trials": None}, "search.trials: is missing"),
        ({"trials": 0}, "search.trials: 0 is not a whole number of at least 1"),
        ({"trails": 5}, "search.trails: unknown key (did you mean 'trials'?)"),
        ({"metric": None}, "search.metric: is missing"),
        ({"direction": "max"}, "search.direction: 'max': no such word"),
        ({"direction": ["maximize", "minimize"]}, "search.direction: has 2 for 1 metrics"),
        ({"halving": {"min": 3}}, "search.halving.max: is missing"),
        ({"halving": {"min": 30, "max": 27}}, "search.halving.min: 30 is larger than max, 27"),
        ({"halving": {"max": 27, "eta": 1}}, "search.halving.eta: 1 is not a whole number of at least 2"),
        ({"halving": {"max": 27, "brackets": 9}}, "search.halving.brackets: 9: there are at most 4"),
        ({"halving": {"max": 27, "resource": "hours"}}, "search.halving.resource: 'hours' is neither epochs nor steps"),
        ({"halving": {"max": 27}, "metric": ["a", "b"]}, "search.halving: needs one metric to rank trials by"),
        ({"halving": {"max": 27}, "prune": "median"}, "search.prune: halving already stops trials"),
        ({"prune": "mean"}, "search.prune: 'mean': no such word"),
        ({"failed": "best"}, "search.failed: 'best': no such word"),
        ({"first": {"lr": 1}}, "search.first: is not a list of points"),
        ({"first": [{"momentum": 1}]}, "search.first[0]: momentum is not searched"),
        ({"first": [{"width": 17}]}, "search.first[0].model.width: 17 is not in the space"),
        ({"only": {"depth": 3}}, "search.only: depth is not searched"),
        ({"over": [1]}, "search.over: [1] is neither a name nor a list of names"),
        ({"budget": {"hours": 3}}, "search.budget.hours: unknown key"),
        ({"budget": {"job_hours": -1}}, "search.budget.job_hours: -1 is not a number above 0"),
    ],
)
def test_what_is_wrong_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(**changes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("over", "axes", "message"),
    [
        (["sead"], ["seed"], "search.over: sead: no such axis (did you mean 'seed'?)"),
        (["seed"], ["seed", "model.width"], "search.space.model.width: is an axis of the matrix as well"),
        (["seed"], ["seed", "task"], "search.over: the axis task is neither searched nor averaged"),
    ],
)
def test_axes_that_do_not_fit_the_matrix(over: list[str], axes: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(over=over).with_axes(axes)
    assert str(caught.value).startswith(message)
