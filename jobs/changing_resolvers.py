"""Finds resolvers of OmegaConf that give another value at every call: ``${uuid:}``, the time, random numbers.

Such a value cannot be part of what a job is. While a `ResolverWatch` watches, each call of a resolver that is not
OmegaConf's or Hydra's own is made a second time and the values are compared. A function that reads the clock is not
called again, because two calls in the same second may agree.
"""

from __future__ import annotations

import inspect
import sysconfig
from collections import Counter, UserDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType
from typing import Any

from omegaconf import OmegaConf
from omegaconf.base import Container, Node
from omegaconf.basecontainer import BaseContainer

from seedfold.jobs.interpolations import KNOWN_RESOLVERS

Resolver = Callable[[BaseContainer, Container, Node, tuple[Any, ...], tuple[str, ...]], Any]
"""A resolver as OmegaConf keeps it: called with root, parent and node, the arguments, and their texts."""
Wrapper = Callable[[str, Resolver], Resolver]
"""Returns what is called in place of the resolver of this name."""

MAX_COMPARED = 100
"""With how many different arguments the values of a resolver are compared; later ones are taken to be like these."""

_RANDOM_CALLS = 31
"""How often a function that mentions random numbers is called again: it may draw from two values only."""

_CLOCK_NAMES = frozenset(
    {"now", "today", "utcnow", "time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime", "ctime"}
)
_RANDOM_NAMES = frozenset(
    {
        "random",
        "randint",
        "randrange",
        "rand",
        "choice",
        "choices",
        "sample",
        "shuffle",
        "uniform",
        "normal",
        "integers",
    }
)


class _WrappedResolvers(UserDict[str, Resolver]):
    """OmegaConf's resolvers by name, also those that are registered later, each behind a wrapper."""

    def __init__(self, resolvers: Any, wrap: Wrapper) -> None:
        super().__init__()
        self.data = resolvers
        self._wrap = wrap

    def __getitem__(self, name: str) -> Resolver:
        return self._wrap(name, self.data[name])


def wrap_resolvers(wrap: Wrapper) -> Callable[[], None]:
    """Let OmegaConf call what ``wrap`` returns in place of each resolver; return a function that ends this."""
    before = BaseContainer._resolvers
    BaseContainer._resolvers = _WrappedResolvers(before, wrap)  # type: ignore[assignment]

    def unwrap() -> None:
        BaseContainer._resolvers = before

    return unwrap


class ResolverWatch:
    """Knows which resolvers gave another value at every call. ``names`` are those found so far, for all who keep it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._changing_by_call: dict[tuple[str, str], bool] = {}
        self._compared: Counter[str] = Counter()
        self._called: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        """Watch the resolvers that are called in the block; the list gets the names of those that are not steady."""
        called: list[str] = []
        self._called = called
        unwrap = wrap_resolvers(self._watched)
        try:
            yield called
        finally:
            unwrap()

    def _watched(self, name: str, resolver: Resolver) -> Resolver:
        if name in KNOWN_RESOLVERS or name.startswith("oc."):
            return resolver

        def watched(
            config: BaseContainer, parent: Container, node: Node, args: tuple[Any, ...], texts: tuple[str, ...]
        ) -> Any:
            value = resolver(config, parent, node, args, texts)
            if self._is_changing(name, resolver, value, (config, parent, node, args, texts)):
                self._called.append(name)
                if name not in self.names:
                    self.names.append(name)
            return value

        return watched

    def _is_changing(self, name: str, resolver: Resolver, value: Any, call: Any) -> bool:
        key = name, repr(call[3])
        known = self._changing_by_call.get(key)
        if known is None:
            if self._compared[name] >= MAX_COMPARED:
                return name in self.names
            self._compared[name] += 1
            known = self._changing_by_call[key] = _gives_other_values(name, resolver, value, call)
        return known


def _gives_other_values(name: str, resolver: Resolver, value: Any, call: Any) -> bool:
    mentioned = _names_in(resolver)
    if mentioned & _CLOCK_NAMES:
        return True
    times = _RANDOM_CALLS if mentioned & _RANDOM_NAMES else 1
    cache, texts = OmegaConf.get_cache(call[0]).get(name, {}), call[4]
    is_cached = texts in cache
    try:
        for _ in range(times):
            cache.pop(texts, None)
            if not _are_equal(resolver(*call), value):
                return True
    except Exception:
        # It worked a moment ago: what it gives depends on more than its arguments.
        return True
    finally:
        if is_cached:
            cache[texts] = value
    return False


def _are_equal(left: Any, right: Any) -> bool:
    return type(left) is type(right) and (left is right or repr(left) == repr(right) or bool(left == right))


def _names_in(function: Any, depth: int = 4) -> set[str]:
    """Return the names that a function mentions, and those in functions of the user's own that it may call."""
    function = getattr(function, "func", function) if isinstance(function, partial) else function
    if not hasattr(function, "__code__") and hasattr(type(function).__call__, "__code__"):
        function = type(function).__call__
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return {getattr(function, "__name__", "")}
    found = {code.co_name, *_names_in_code(code)}
    if depth:
        known = inspect.getclosurevars(function) if inspect.isfunction(function) else None
        called = [*known.nonlocals.values(), *known.globals.values()] if known else []
        for other in called:
            if callable(other) and not isinstance(other, type) and _is_own(other):
                found |= _names_in(other, depth - 1)
    return found


def _names_in_code(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in_code(constant)


def _is_own(function: Any) -> bool:
    """Whether a function is none of Python's and of no installed package: those mention clocks for other reasons."""
    code = getattr(function, "__code__", None)
    if code is None:
        return True
    folders = tuple(f"{sysconfig.get_path(key)}/" for key in ("stdlib", "platstdlib", "purelib", "platlib"))
    return not code.co_filename.startswith(folders)
