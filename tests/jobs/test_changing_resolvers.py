"""Resolvers that give another value at every call are found, and only these."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from omegaconf import OmegaConf

from seedfold.jobs.changing_resolvers import ResolverWatch


def day() -> str:
    return f"{datetime.now():%Y-%m-%d}"


class Counter:
    def __init__(self) -> None:
        self.numbers = itertools.count()

    def __call__(self) -> int:
        return next(self.numbers)


CHANGING: list[Callable[..., Any]] = [
    lambda: uuid.uuid4().hex,
    uuid.uuid4,
    time.time,
    lambda: day(),
    partial(day),
    datetime.now,
    lambda: random.choice([0, 1]),
    Counter(),
]
STEADY: list[Callable[..., Any]] = [
    lambda: 3,
    lambda: float("nan"),
    lambda: [1, {"a": None}],
    lambda: random.Random(4).random(),
    lambda *, _root_: sorted(_root_),
    lambda: datetime(2020, 1, 1).year,
]


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    yield lambda resolver, **options: OmegaConf.register_new_resolver("probed", resolver, **options)
    OmegaConf.clear_resolver("probed")


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize("resolver", CHANGING)
def test_a_resolver_that_changes_is_found(
    register: Callable[..., None], resolver: Callable[..., Any], use_cache: bool
) -> None:
    register(resolver, use_cache=use_cache)
    config, watch = OmegaConf.create({"a": "x-${probed:}", "b": "${a}", "c": "${oc.select:d,1}"}), ResolverWatch()
    for key, expected in [("a", ["probed"]), ("b", ["probed"]), ("c", [])]:
        with watch.watching() as called:
            OmegaConf.select(config, key)
        assert called == expected
    assert watch.names == ["probed"]
    if use_cache:
        # The value that somebody has seen already stays the one that this configuration has.
        assert config.a == config.b


@pytest.mark.parametrize("resolver", STEADY)
def test_a_steady_resolver_is_none(register: Callable[..., None], resolver: Callable[..., Any]) -> None:
    register(resolver)
    watch = ResolverWatch()
    with watch.watching() as called:
        OmegaConf.select(OmegaConf.create({"a": "${probed:}"}), "a")
    assert (called, watch.names) == ([], [])


def test_a_resolver_is_called_a_second_time_once_for_the_same_arguments(register: Callable[..., None]) -> None:
    calls: list[int] = []

    def note(number: int) -> int:
        calls.append(number)
        return number

    register(note)
    config, watch = OmegaConf.create({"a": "${probed:${b}}", "b": 0}), ResolverWatch()
    for number in [1, 1, 2, *range(300)]:
        config.b = number
        with watch.watching():
            assert config.a == number
    assert calls.count(1) == 4
    assert len(calls) == 303 + 100


def test_what_changes_for_some_arguments_only_is_steady_for_others(register: Callable[..., None]) -> None:
    register(lambda number: number or random.random())
    config, watch, found = OmegaConf.create({"a": "${probed:${b}}", "b": 0}), ResolverWatch(), []
    for config.b in (0, 1, 2):
        with watch.watching() as called:
            assert config.a
        found.append(called)
    assert found == [["probed"], [], []]
