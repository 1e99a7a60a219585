"""Values that take long are computed once, and hold up nobody."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from seedfold.orchestrator.page.late_values import AnswerCache, LateValue

WAIT_S = 60


def test_of_several_who_ask_the_same_one_computes() -> None:
    cache, may_end, calls = AnswerCache(), threading.Event(), list[int]()

    def make() -> object:
        calls.append(1)
        assert may_end.wait(WAIT_S)
        return object()

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(cache.get, "question", make) for _ in range(4)]
        may_end.set()
        answers = {id(each.result()) for each in asked}
    assert len(calls) == len(answers) == 1


def test_an_error_is_not_kept_and_the_oldest_answer_is_forgotten() -> None:
    cache = AnswerCache(size=2)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0)
    assert [cache.get(key, lambda: 1) for key in "abc"] == [1, 1, 1]
    assert cache.get("c", lambda: 2) == 1
    assert cache.get("a", lambda: 2) == 2


def test_the_older_value_is_shown_until_the_newer_one_is_there() -> None:
    told, may_end = threading.Event(), threading.Event()
    value = LateValue[str](told.set)
    assert value.get(1, lambda: "old", WAIT_S) == ("old", True)

    def make() -> str:
        assert may_end.wait(WAIT_S)
        return "new"

    assert value.get(2, make, 0.0) == ("old", False)
    may_end.set()
    assert told.wait(WAIT_S)
    assert value.get(2, lambda: "never", WAIT_S) == ("new", True)


def test_an_error_of_a_late_value_is_raised_and_it_is_tried_again() -> None:
    value = LateValue[int](lambda: None)
    with pytest.raises(ZeroDivisionError):
        value.get(1, lambda: 1 // 0, WAIT_S)
    assert value.get(1, lambda: 3, WAIT_S) == (3, True)
