"""The learning curve of a setting is the mean of its jobs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from seedfold.orchestrator.page.mean_curves import (
    choose_members,
    group_settings,
    mean_points,
    repeated_axes,
    setting_condition,
)
from seedfold.orchestrator.state.overview import JobView


def view(state: str, **axes: Any) -> JobView:
    return cast("JobView", SimpleNamespace(stage="train", axes=axes, state=state))


def test_jobs_of_a_setting_differ_in_seeds_and_folds_alone() -> None:
    jobs = [view("done", lr=lr, seed=seed, fold=fold) for seed in (0, 1) for fold in (0, 1) for lr in (1.0, 0.1)]
    repeated = repeated_axes(jobs)
    assert repeated == ["seed", "fold"]
    groups = group_settings(jobs, repeated)
    assert [len(group) for group in groups] == [4, 4]
    assert [setting_condition(group[0], repeated) for group in groups] == ["lr=1", "lr=0.1"]


def test_jobs_that_have_just_begun_do_not_pull_the_mean_down() -> None:
    done, running, failed = view("done", seed=0), view("running", seed=1), view("failed", seed=2)
    assert choose_members([failed, running, done]) == [done]
    assert choose_members([failed, running]) == [running]
    assert choose_members([failed]) == [failed]


def test_the_mean_has_the_steps_that_all_have() -> None:
    assert mean_points([[(0, 0.0), (1, 0.5), (2, 1.0)], [(0, 1.0), (1, None)]]) == [(0, 0.5), (1, None)]
