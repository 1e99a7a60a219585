"""Which jobs come first, and that this changes nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedfold.jobs.errors import UsageError
from seedfold.jobs.job_order import JobOrder

MATRIX = {"seed": [0, 1], "model": ["small", "large"], "optimizer.lr": [0.1, 0.01]}
JOBS = [{"seed": seed, "model": model, "lr": lr} for seed in (0, 1, 10) for model in ("b", "a") for lr in (1, 0.5)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["seed"], [(0, "b", 1), (0, "b", 0.5), (0, "a", 1), (0, "a", 0.5), (1, "b", 1)]),
        (["-seed"], [(10, "b", 1), (10, "b", 0.5), (10, "a", 1), (10, "a", 0.5), (1, "b", 1)]),
        (["lr", "-seed"], [(10, "b", 0.5), (10, "a", 0.5), (1, "b", 0.5), (1, "a", 0.5), (0, "b", 0.5)]),
        (["-model"], [(0, "a", 1), (0, "a", 0.5), (1, "a", 1), (1, "a", 0.5), (10, "a", 1)]),
        (["seed=1 model=a", "lr<1"], [(1, "a", 0.5), (1, "a", 1), (0, "b", 0.5), (0, "a", 0.5), (1, "b", 0.5)]),
        ("model=a", [(0, "a", 1), (0, "a", 0.5), (1, "a", 1), (1, "a", 0.5), (10, "a", 1)]),
    ],
)
def test_numbers_sort_by_size_and_others_as_they_are_listed(order: Any, expected: list[Any]) -> None:
    parsed = JobOrder.parse(order, ("seed", "model", "lr"))
    assert [tuple(job.values()) for job in parsed.sort(JOBS, lambda job: job)[:5]] == expected


VALUES = st.one_of(st.integers(-3, 3), st.floats(-2, 2), st.sampled_from("abc"), st.booleans(), st.none())


@given(
    st.lists(st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=2), max_size=8),
    st.lists(st.sampled_from(["x", "-y", "z=1"])),
)
def test_whatever_the_values_no_job_is_lost_and_equal_ones_keep_their_places(
    jobs: list[dict[str, Any]], order: list[str]
) -> None:
    numbered = list(enumerate(jobs))
    found = JobOrder.parse(order, "xyz").sort(numbered, lambda job: job[1])
    assert sorted(number for number, _ in found) == list(range(len(jobs)))
    for _, axes in numbered:
        same = [number for number, other in found if repr(other) == repr(axes)]
        assert same == sorted(same)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["sed"], r"order: sed: no such axis \(did you mean 'seed'\?\); axes: seed, model, optimizer.lr"),
        (["nothing=1"], "order: nothing: no such axis"),
        ([1], r"order: \[1\] is not a list of axes"),
        ({"seed": 1}, "is not a list of axes"),
        (["seed=1 >"], "expected a condition"),
    ],
)
def test_what_is_no_order_is_refused_in_one_line(tree: Any, order: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tree.jobs({"matrix": MATRIX, "order": order})


def test_the_order_is_part_of_no_job(tree: Any, axes_of: Any) -> None:
    plain = tree.jobs({"matrix": MATRIX})
    ordered = tree.jobs({"matrix": MATRIX, "order": ["-lr", "model=large"]})
    assert {job.id for job in plain} == {job.id for job in ordered}
    assert all("order" not in job.config for job in ordered)
    assert axes_of(ordered)[0] == {"seed": 0, "model": "large", "optimizer.lr": 0.1}


def test_parents_come_first_and_stay_in_the_order_of_the_matrix(tree: Any) -> None:
    stages = {"fit": {"matrix": {"seed": [0, 1, 2]}}, "sum": {"after": "fit", "matrix": {"model": ["small"]}}}
    plain = tree.jobs({"stages": stages})
    ordered = tree.jobs({"stages": stages, "order": ["-seed"]})
    assert [job.id for job in ordered] == [job.id for job in (*plain[2::-1], plain[3])]
    assert ordered[-1].parents == plain[-1].parents
