"""Errors that a person caused or has to act on, and helpers for their messages.

A message is one line: where, what is wrong, what to do. If there is something to choose from, the choices follow as
notes, one on each line.
"""

from __future__ import annotations

from collections.abc import Iterable


class SeedfoldError(Exception):
    """Base of every error that is shown as one line instead of a traceback."""

    exit_code = 1


class UsageError(SeedfoldError):
    """Bad input: a wrong option, key, value or file. Nothing has been written."""

    exit_code = 2


class UnreachableError(SeedfoldError):
    """A scheduler or a store does not answer; what Seedfold has recorded is still right."""

    exit_code = 3


def count_noun(count: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun: ``1 job``, ``3 jobs``. Without ``plural``, that is ``singular`` with an s."""
    return f"{count} {singular}" if count == 1 else f"{count} {plural or singular + 's'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest of ``known``, or an empty string."""
    import difflib

    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{nearest[0]}'?)" if nearest else ""
