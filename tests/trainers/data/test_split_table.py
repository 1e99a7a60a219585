from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.split_table import (
    SPLITS,
    Fractions,
    SplitTable,
    draw_split,
    make_split_counts,
    read_split,
    write_split,
)

CONF = files("seedfold.conf")


def task_counts() -> dict[str, list[int]]:
    """Of each of the 30 tasks the samples for development, as the study published them."""
    listed = yaml.safe_load(CONF.joinpath("tasks/prevalence_shifts.yaml").read_text())["defaults"]
    names = [name for entry in listed for name in entry.values()]
    return {name: yaml.safe_load(CONF.joinpath(f"task/{name}.yaml").read_text())["class_counts"] for name in names}


def drawn(counts: list[int], seed: int = 1337) -> SplitTable:
    targets = np.repeat(np.arange(len(counts)), counts)
    return draw_split([f"s{place:05d}" for place in range(len(targets))], targets, len(counts), Fractions(), seed)


@pytest.mark.parametrize(("name", "development"), task_counts().items())
def test_the_counts_of_the_real_tasks_come_out(name: str, development: list[int]) -> None:
    # Of a class, the deployment is a third of what dev_test leaves, and dev_test a ninth of that, on average.
    app = [next(n for n in range(count) if n == round((count + n) / 3)) for count in development]
    rest = [sum(both) for both in zip(development, app, strict=True)]
    k = len(rest)
    dev_test = next(d for d in range(sum(rest)) if d == int(0.1 * (sum(rest) + k * d) / k))
    counts = make_split_counts([count + dev_test for count in rest], Fractions())
    assert counts["app_test"] == app
    assert counts["dev_test"] == [dev_test] * k
    assert [sum(both) for both in zip(counts["train"], counts["dev_cal"], strict=True)] == development
    assert np.abs(np.asarray(counts["dev_cal"]) - np.asarray(development) / 6).max() <= 0.5 + 1e-9


@given(st.lists(st.integers(40, 400), min_size=2, max_size=6).filter(lambda c: max(c) < 3 * min(c)), st.integers(0, 99))
def test_every_sample_is_in_one_split_and_classes_keep_their_shares(counts: list[int], seed: int) -> None:
    table = drawn(counts, seed)
    assert len(table.ids) == len(set(table.ids)) == sum(counts)
    assert set(table.splits) <= set(SPLITS)
    found = table.class_counts(len(counts))
    assert found == make_split_counts(counts, Fractions())
    assert set(found["dev_test"]) == {int(0.1 * sum(counts) / len(counts))}
    for number, count in enumerate(counts):
        rest = count - found["dev_test"][number]
        assert found["app_test"][number] == round(rest * (0.3 / 0.9))
        assert found["dev_cal"][number] == round((rest - found["app_test"][number]) * (0.1 / 0.6))


@given(st.permutations(range(120)))
def test_the_order_of_the_samples_does_not_matter(order: list[int]) -> None:
    ids, targets = [f"s{place}" for place in range(120)], np.arange(120) % 3
    table = draw_split(ids, targets, 3, Fractions(), 5)
    again = draw_split([ids[place] for place in order], targets[order], 3, Fractions(), 5)
    assert (again.ids, again.splits) == (table.ids, table.splits)
    assert np.array_equal(again.targets, table.targets)


def test_the_bytes_are_those_of_all_versions_and_another_seed_draws_others(tmp_path: Path) -> None:
    write_split(tmp_path / "split.csv", drawn([60, 90, 150]))
    content = (tmp_path / "split.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == "bcd3faedc6112680a1a975b6cbcdb1f1aaa9fefafbbe5f91f3ae6bb50d156b5a"
    assert drawn([60, 90, 150], seed=3).splits != drawn([60, 90, 150]).splits


def test_classes_are_drawn_apart() -> None:
    # Growing one class does not move the samples of another, as long as dev_test takes as many.
    before, after = drawn([100, 100, 100]), drawn([100, 100, 109])
    assert before.class_counts(3)["dev_test"] == after.class_counts(3)["dev_test"]
    assert before.splits[:200] == after.splits[:200]


def test_a_table_survives_writing_whatever_the_ids_are(tmp_path: Path) -> None:
    ids = ['a,"b"', "line\nbreak", "", "NA", "ü", *(f"s{place}" for place in range(55))]
    table = draw_split(ids, np.arange(60) % 2, 2, Fractions(), 0)
    write_split(tmp_path / "split.csv", table)
    again = read_split(tmp_path / "split.csv")
    assert (again.ids, again.splits) == (table.ids, table.splits)
    assert np.array_equal(again.targets, table.targets)


def test_a_class_that_is_too_small_is_named() -> None:
    with pytest.raises(DataFailure, match=r"class 1: has 30 samples, of which dev_test would take 51, more than 35%"):
        drawn([1000, 30])
    assert make_split_counts([1000, 167], Fractions())["dev_test"] == [58, 58]


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"dev_test": 0.9, "app_test": 0.3}, "must leave some"), ({"dev": 0.1}, "'dev'"), ({"dev_test": "x"}, "'x'")],
)
def test_shares_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigFailure, match=says):
        Fractions.from_config(settings)


def test_a_file_that_is_no_split_table_is_named(tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    for text in (
        "sample_id,split\na,train\n",
        "sample_id,split,target\na,train,x\n",
        "sample_id,split,target\na,b,1\n",
    ):
        file.write_text(text)
        with pytest.raises(DataFailure, match=r"split\.csv: "):
            read_split(file)
