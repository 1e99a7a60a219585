from __future__ import annotations

from seedfold.results.evaluation.problem_axes import problem_axes

AXES = ["seed", "fold", "task", "task.crop", "task.split_seed", "sampling.imbalance_ratio", "loss.weighting", "model"]


def test_axes_of_task_sampling_and_split_describe_the_problem_unless_they_repeat() -> None:
    assert problem_axes(AXES) == ["task", "task.crop", "sampling.imbalance_ratio"]
    assert problem_axes(["splits", "split.kind", "tasks"]) == ["split.kind"]


def test_a_study_says_what_it_compares_and_everything_else_is_the_problem() -> None:
    assert problem_axes(AXES, ["weighting"]) == ["task", "task.crop", "sampling.imbalance_ratio", "model"]
    assert problem_axes(AXES, ["sampling.imbalance_ratio"]) == ["task", "task.crop", "loss.weighting", "model"]
    assert problem_axes(["model", "seed"], []) == ["model"]
