"""Texts in place of numbers are refused when a study is read, and not by each of its jobs."""

from __future__ import annotations

from functools import reduce
from operator import getitem
from typing import Any

import pytest

from seedfold.jobs.errors import UsageError


@pytest.mark.parametrize(
    ("override", "advice"),
    [
        ("fold=0..3", r"fold=0\.\.3: .*write fold=0,1,2,3 or 'fold=range\(0,4\)'"),
        ("fold=0-20", r"fold=0-20: .*write 'fold=range\(0,21\)'"),
        ("fold=0,1,x", r"stage train: fold=x: .*fold is a number \(0\)"),
        ("fold='1'", r"fold=1: is a text"),
        ("loader.batch=abc", r"loader\.batch=abc: .*is a number \(8\); write a number, or \+\+loader\.batch=abc"),
        ("loader.shuffle=yes", r"loader\.shuffle=yes: .*is true or false"),
        ("stages.train.matrix.seed=0:2", r"stage train: seed=0:2: .*write seed=0,1,2"),
    ],
)
@pytest.mark.parametrize("matrix", [{"fold": [0]}, {"predict.tta": [1]}], ids=["axis", "no axis"])
def test_a_text_in_place_of_a_number_is_refused(tree: Any, matrix: Any, override: str, advice: str) -> None:
    stages = {"stages": {"train": {"matrix": matrix}}, "loader": {"shuffle": True}}
    with pytest.raises(UsageError, match=advice):
        tree.jobs(stages, override)


@pytest.mark.parametrize("given", [{"matrix": {"fold": "0..3"}}, {"zip": {"seed": [1, 2], "fold": [0, "x"]}}])
def test_so_is_one_in_the_study_file(tree: Any, given: Any) -> None:
    with pytest.raises(UsageError, match=r"stage train: fold=(0\.\.3|x): is a text"):
        tree.jobs(given)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("++loader.batch=auto", "loader.batch", "auto"),
        ("++fold=x", "fold", "x"),
        ("++fold=0,x", "fold", 0),
        ("+loader.new=abc", "loader.new", "abc"),
        ("loader.batch=${predict.tta}", "loader.batch", 1),
        ("loader.batch=null", "loader.batch", None),
        ("optimizer.name=3", "optimizer.name", 3),
        ("limit=most", "limit", "most"),
    ],
)
def test_what_is_meant_or_may_be_meant_is_taken(tree: Any, override: str, key: str, value: Any) -> None:
    jobs = tree.jobs({"matrix": {"fold": [0, 1]}, "limit": None}, override)
    assert reduce(getitem, key.split("."), jobs[0].config) == value


def test_axes_that_advance_together_may_have_a_text_that_is_meant(tree: Any) -> None:
    jobs = tree.jobs({"zip": {"seed": [1, 2], "fold": [0, 1]}}, "++fold=0,x")
    assert [job.axes for job in jobs] == [{"seed": 1, "fold": 0}, {"seed": 2, "fold": "x"}]
