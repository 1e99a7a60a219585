"""Data classes that write their methods when they are first called mean what those of the standard library mean."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import pytest

from seedfold.jobs import lazy_dataclasses

STANDARD, LAZY = (
    SimpleNamespace(**{name: vars(module)[name] for name in ("asdict", "dataclass", "field", "replace")})
    for module in (dataclasses, lazy_dataclasses)
)
OPTIONS = ({}, {"frozen": True}, {"slots": True}, {"frozen": True, "slots": True})


class Pair(NamedTuple):
    """A tuple that has names."""

    left: Any
    right: Any


def make(kind: Any, options: dict[str, bool]) -> Any:
    """Return a class with everything that our data classes use, and one that inherits from it."""

    @kind.dataclass(**options)
    class Base:
        known: ClassVar[list[int]] = [1]
        name: str
        sizes: list[int] = kind.field(default_factory=list)
        hidden: Any = kind.field(default=None, repr=False)
        uncounted: int = kind.field(default=0, compare=False)

        @property
        def first(self) -> Any:
            return len(self.sizes)

    @kind.dataclass(**options)
    class Made(Base):
        extra: Any = ()
        named: int = kind.field(default=7, kw_only=True)

        def __post_init__(self) -> None:
            if self.name == "refused":
                raise ValueError(self.name)

    return Made


def said(act: Callable[[], Any]) -> Any:
    """What a call returns, or how it fails, without the name of a class."""
    try:
        return act()
    except (TypeError, ValueError, AttributeError) as error:
        return type(error), str(error)


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("a",), {}),
    (("a", [1, 2], "x", 3, (4,)), {"named": 8}),
    (("a",), {"uncounted": 5}),
    (("b",), {"sizes": [{"k": (1, 2)}], "extra": Pair([1], Path("x"))}),
    ((), {}),
    (("a",), {"unknown": 1}),
    (("a", [], None, 0, (), 9), {}),
    (("refused",), {}),
]


def facts(kind: Any, options: dict[str, bool]) -> list[Any]:
    """All that can be seen of objects of such a class."""
    cls = make(kind, options)
    made = [said(lambda call=call: cls(*call[0], **call[1])) for call in CALLS]
    objects = [one for one in made if isinstance(one, cls)]
    seen: list[Any] = [one for one in made if not isinstance(one, cls)]
    for one in objects:
        seen += [repr(one), said(lambda one=one: kind.asdict(one)), [one == other for other in [*objects, 1]]]
        # A class that is not frozen has no hash; one of a list fails.
        seen.append(said(lambda one=one: hash(kind.replace(one, sizes=(1,), extra=()))))
        seen += [repr(kind.replace(one, name="c")), said(lambda one=one: kind.replace(one, unknown=1))]
        seen += [said(lambda one=one: setattr(one, "name", "d")), said(lambda one=one: delattr(one, "name"))]
        seen += [said(lambda one=one: setattr(one, "name", "a")), repr(copy.deepcopy(one))]
        seen += [hasattr(one, "__dict__"), one.known, said(lambda one=one: one.first)]
    described = [(f.name, f.type, f.repr, f.compare, f.kw_only) for f in dataclasses.fields(cls)]
    return [*seen, described, cls.__match_args__, [str(p) for p in inspect.signature(cls).parameters]]


@pytest.mark.parametrize("options", OPTIONS)
def test_objects_look_and_act_as_those_of_the_standard_library(options: dict[str, bool]) -> None:
    standard, lazy = facts(STANDARD, options), facts(LAZY, options)
    assert lazy == standard
    assert len(standard) > 50


@lazy_dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """Can be found by its name, as pickle wants it."""

    name: str
    sizes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class OfStandard(Kept):
    """A user's class that inherits from one of ours."""

    more: int = 3


def test_pickles_are_read_and_others_may_inherit() -> None:
    kept = Kept("a", (1,))
    assert pickle.loads(pickle.dumps(kept)) == kept
    other = OfStandard("a", more=5)
    assert dataclasses.replace(other, name="b") == OfStandard("b", (), 5)
    assert lazy_dataclasses.field_names(other) == ("name", "sizes", "more")
    assert lazy_dataclasses.asdict(other) == {"name": "a", "sizes": (), "more": 5}
    assert dataclasses.replace(kept, name="b") == Kept("b", (1,))

    @lazy_dataclasses.dataclass(frozen=True, order=True)
    class Ordered(OfStandard):
        last: list[int] = lazy_dataclasses.field(default_factory=list)

        @cached_property
        def size(self) -> int:
            return len(self.last)

    assert Ordered("a") < Ordered("b", last=[1])
    assert Ordered("b", last=[1]).size == 1
