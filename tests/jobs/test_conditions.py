from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedfold.jobs.conditions import Where
from seedfold.jobs.errors import UsageError

AXES = {"seed": 1, "fold": 3, "optimizer.lr": 0.1, "task": "a b", "flag": True, "none": None, "layers": [64, 64]}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("seed=1", True),
        ("seed=1.0", True),
        ("seed=1,2", True),
        ("seed=2,3", False),
        ("seed!=2,3", True),
        ("seed!=1,2", False),
        ("seed='1'", False),
        ("seed=1 fold>=3", True),
        ("seed=1 fold>3", False),
        ("fold<4 fold<=3 fold>2", True),
        ("lr=0.1", True),
        ("lr=1e-1", True),
        ("optimizer.lr<1", True),
        ("task='a b'", True),
        ('task="a b"', True),
        (r"task=a\ b", True),
        ("task=a", False),
        ("task>'a a'", True),
        ("task<1", False),
        ("flag=true", True),
        ("flag=1", False),
        ("flag<2", False),
        ("none=null", True),
        ("none=0", False),
        ("layers=[64,64]", True),
        ("layers=[64,32],[64,64]", True),
        ("layers!=[64,64]", False),
        ("absent=1", False),
        ("absent!=1", False),
        ("  seed=1   fold=3  ", True),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    assert Where.parse(text).matches(AXES) is holds


@pytest.mark.parametrize("text", ["seed", "=1", "seed=", "seed=1 fold", "seed<1,2", "seed=,1", "seed==1", "a='x"])
def test_what_is_no_condition_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as error:
        Where.parse(text)
    assert "\n" not in str(error.value)


def test_unknown_axes_are_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"sed: no such axis.*'seed'"):
        Where.parse("sed=1").check(AXES)
    Where.parse("lr=1 seed=2").check(AXES)


@dataclass
class Job:
    axes: dict[str, Any]
    id: str = "1a2b"
    stage: str = "fit"


def test_a_range_is_that_of_a_sweep() -> None:
    where = Where.parse("seed=range(2,8,2),9 lr=1")
    assert [seed for seed in range(12) if where.matches({"seed": seed, "lr": 1})] == [2, 4, 6, 9]
    for bad in ("seed=range(3,3)", "seed=range(0,5,0)"):
        with pytest.raises(UsageError, match="has 0 values"):
            Where.parse(bad)


def test_a_value_that_no_job_has_is_refused_with_those_that_there_are() -> None:
    jobs = [Job({"seed": seed, "kind": "a"}) for seed in range(3)]
    Where.parse("seed=2,7 kind!=b seed<9").check_for_jobs(jobs)
    with pytest.raises(UsageError, match=r"^seed=7: no job has this value; values: 0, 1, 2$"):
        Where.parse("seed=7").check_for_jobs(jobs)
    with pytest.raises(UsageError) as error:
        Where.parse("kind=b").check_for_jobs([Job({"kind": "x" * 20_000})])
    assert len(str(error.value)) < 120
    with pytest.raises(UsageError, match=r"for a range: 'seed>=1 seed<=2'; values"):
        Where.parse("seed=1..2").check_for_jobs(jobs)


def test_an_ambiguous_last_component_is_refused() -> None:
    with pytest.raises(UsageError, match="several axes end in this name"):
        Where.parse("lr=1").matches({"a.lr": 1, "b.lr": 1})
    assert Where.parse("lr=1").matches({"lr": 1, "b.lr": 2})


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1), st.integers(), st.floats(allow_nan=False))
def test_quoted_text_and_numbers_come_back(text: str, whole: int, real: float) -> None:
    axes: dict[str, Any] = {"text": text, "whole": whole, "real": real}
    quoted = shlex.quote(text) if shlex.quote(text) != text else f"'{text}'"
    assert Where.parse(f"text={quoted} whole={whole} real={real!r}").matches(axes)
    assert not Where.parse(f"text!={quoted}").matches(axes)
    assert not Where.parse(f"whole={whole + 1}").matches(axes)
