"""The mark of functions that a study may call while it is planned."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_MARK = "__seedfold_derivation__"


def derivation(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function of yours as one that ``derive`` in a study file may name.

    The function depends on its arguments alone, changes nothing, and returns what JSON can hold. Use it as a decorator,
    or on a function of another package: ``spread = derivation(numpy.linspace)``.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    marked = function if isinstance(function, FunctionType) else call
    setattr(marked, _MARK, True)
    return marked


def is_derivation(found: Any) -> bool:
    """Whether `derivation` has marked it."""
    return getattr(found, _MARK, False) is True
