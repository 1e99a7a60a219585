from __future__ import annotations

from dataclasses import replace
from typing import Any

from seedfold.jobs.explain import ABSENT, Difference, find_differences
from seedfold.jobs.identity import Identity

IDENTITY = {"volatile": ["paths.**", "**.num_workers"]}


def test_keys_that_count_come_first(tree: Any) -> None:
    content = {"matrix": {"seed": [0]}, "file": "${paths.data}/f"}
    (left,) = tree.jobs(content)
    (right,) = tree.jobs(content, "paths.data=/other", "optimizer.lr=0.2", "loader.num_workers=9", "+new=1")
    found = find_differences(left, right, IDENTITY)
    assert found[:2] == [
        Difference("optimizer.lr", 0.1, 0.2, counts=True),
        Difference("new", ABSENT, 1, counts=True),
    ]
    assert {one.key for one in found[2:]} == {"paths.data", "paths.images", "loader.num_workers", "file"}
    assert not any(one.counts for one in found[2:])


def test_jobs_with_one_id_have_no_difference_that_counts(tree: Any) -> None:
    content = {"matrix": {"seed": [0]}, "file": "${paths.data}/f"}
    (left,), (right,) = tree.jobs(content), tree.jobs(content, "paths.data=/other")
    assert left.id == right.id
    assert not any(one.counts for one in find_differences(left, right, IDENTITY))
    assert find_differences(left, left, IDENTITY) == []


def test_run_and_parents(tree: Any) -> None:
    (job,) = tree.jobs({})
    other = replace(job, run="other.run", parents=("a" * 64,))
    assert find_differences(job, other, IDENTITY) == [
        Difference("run", job.run, "other.run", counts=True),
        Difference("parents", [], ["a" * 12], counts=True),
    ]


def test_neutral_and_renamed_keys_do_not_count(tree: Any) -> None:
    (job,) = tree.jobs({})
    config = dict(job.config)
    optimizer = config.pop("optimizer")
    later = replace(job, config={**config, "optim": optimizer, "ema": None})
    identity = Identity.from_config({**IDENTITY, "neutral": {"ema": None}, "renames": {"optimizer": "optim"}})
    found = find_differences(job, later, identity)
    assert {one.key for one in found} == {"optimizer.lr", "optimizer.name", "optim.lr", "optim.name", "ema"}
    assert not any(one.counts for one in found)


def test_one_and_one_point_zero_differ(tree: Any) -> None:
    (whole,), (real,) = tree.jobs({}, "seed=1"), tree.jobs({}, "seed=1.0")
    assert find_differences(whole, real, IDENTITY) == [Difference("seed", 1, 1.0, counts=True)]
