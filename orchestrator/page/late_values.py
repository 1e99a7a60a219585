"""Values that take long to compute: computed once for all who ask, and beside the answers that do not wait for them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class AnswerCache:
    """The last answers, by what they answer. Of several who ask the same at a time, one computes and all receive it."""

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._answers: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the answer. An error is raised for all who wait for it, and not kept."""
        with self._lock:
            future = self._answers.get(key)
            is_mine = future is None
            if future is None:
                future = self._answers[key] = Future()
                while len(self._answers) > self._size:
                    self._answers.popitem(last=False)
        if is_mine:
            self._fill(key, future, make)
        return cast("T", future.result())

    def _fill(self, key: Hashable, future: Future[Any], make: Callable[[], T]) -> None:
        try:
            future.set_result(make())
        except BaseException as error:
            with self._lock:
                self._answers.pop(key, None)
            future.set_exception(error)


class LateValue(Generic[T]):
    """A value that is computed anew, in a thread of its own, for each new version; meanwhile the older one is shown."""

    def __init__(self, when_late: Callable[[], None]) -> None:
        """``when_late`` is called when a value is there that somebody had not waited for."""
        self._when_late = when_late
        self._lock = threading.Lock()
        self._value: T | None = None
        self._version: Hashable = object()
        self._future: Future[None] | None = None

    def get(self, version: Hashable, make: Callable[[], T], wait_s: float) -> tuple[T | None, bool]:
        """Return the value, and whether it is that of the version; wait for it at most so long.

        Raises the error with which the computation ended.
        """
        with self._lock:
            if self._version == version:
                return self._value, True
            if self._future is None:
                self._future = Future()
                threading.Thread(target=self._compute, args=(self._future, version, make), daemon=True).start()
            future = self._future
        if wait([future], wait_s).done:
            future.result()
        else:
            future.add_done_callback(lambda _: self._when_late())
        with self._lock:
            return self._value, self._version == version

    def _compute(self, future: Future[None], version: Hashable, make: Callable[[], T]) -> None:
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                self._future = None
            future.set_exception(error)
            return
        with self._lock:
            self._value, self._version, self._future = value, version, None
        future.set_result(None)
