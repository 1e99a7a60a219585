"""What is known of the top-level values of composed configurations, found out once for all that share a value.

The compositions of a study differ in few top-level keys, its stages in fewer. What they share is one object, which
nobody changes, and is known by its identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from seedfold.jobs.canonical_json import require_text_key
from seedfold.jobs.identity import Identity
from seedfold.jobs.interpolations import MISSING
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.shared_config import insert_values, make_value_tree, walk_paths, walk_texts

MAX_KNOWN = 1 << 14
"""How many values are known at a time."""


class PathSet:
    """Paths, of which one may ask whether another path contains one of them or lies in one."""

    def __init__(self, paths: Iterable[KeyPath]) -> None:
        self._paths = set(paths)
        self._above = {path[:length] for path in self._paths for length in range(len(path))}

    def do_overlap(self, path: KeyPath) -> bool:
        """Whether ``path`` contains a path of the set, equals it, or lies in it."""
        return path in self._above or any(path[:length] in self._paths for length in range(len(path) + 1))


class SubtreeFacts:
    """What is known of the value of one top-level key. Raises UsageError for a key in it that is not a text."""

    def __init__(self, key: str, value: Any, identity: Identity) -> None:
        _require_text_keys(value, require_text_key(key))
        self.value = value
        self._key = key
        self._identity = identity

    @cached_property
    def unresolved(self) -> tuple[tuple[KeyPath, str], ...]:
        """The texts that stand for another value: interpolations, and missing values."""
        texts = walk_texts(self.value, (self._key,))
        return tuple((path, text) for path, text in texts if "${" in text or text == MISSING)

    @cached_property
    def is_complete(self) -> bool:
        """Whether no value is missing."""
        return all(text != MISSING for _, text in self.unresolved)

    @cached_property
    def volatile(self) -> PathSet:
        """The places that are not part of an id."""
        paths = ((self._key,), *walk_paths(self.value, (self._key,)))
        return PathSet(path for path in paths if self._identity.volatile_patterns.matches(path))

    @cached_property
    def hashed_texts(self) -> tuple[str, str]:
        """What is hashed of the value for a job and for its fit."""
        return hashed_texts(self._identity, self._key, self.value)


class KnownSubtrees:
    """The facts of all top-level values that were asked for."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        # A value that is kept here keeps its id.
        self._known: dict[tuple[str, int], SubtreeFacts] = {}
        self._filled: dict[Any, tuple[Any, Any]] = {}

    def of(self, key: str, value: Any) -> SubtreeFacts:
        """Return what is known of ``value``."""
        facts = self.find(key, value)
        if facts is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            facts = self._known[key, id(value)] = SubtreeFacts(key, value, self._identity)
        return facts

    def find(self, key: str, value: Any) -> SubtreeFacts | None:
        """Return what is known of ``value``, if it was asked for before."""
        return self._known.get((key, id(value)))

    def filled(self, key: str, value: Any, paths: tuple[KeyPath, ...], inner: tuple[Any, ...]) -> Any:
        """Return ``value`` with ``inner`` values at ``paths``, which begin with ``key``.

        Equal values give the same object.
        """
        if paths == ((key,),):
            return inner[0]
        try:
            # Python takes 1, 1.0 and True for equal, and 0.0 and -0.0.
            exact = tuple((type(one), repr(one) if type(one) is float else one) for one in inner)
            known = self._filled.get((key, id(value), paths, exact))
        except TypeError:
            return _fill(value, paths, inner)
        if known is None:
            if len(self._filled) >= MAX_KNOWN:
                self._filled.clear()
            known = self._filled[key, id(value), paths, exact] = value, _fill(value, paths, inner)
            self.of(key, known[1])
        return known[1]

    def unresolved(self, tree: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
        """Yield the texts in ``tree`` that stand for another value."""
        for key, value in tree.items():
            yield from self.of(key, value).unresolved


def _fill(value: Any, paths: tuple[KeyPath, ...], inner: tuple[Any, ...]) -> Any:
    return insert_values(value, make_value_tree([[path[1:] for path in paths]]), (inner,))


def hashed_texts(identity: Identity, key: str, value: Any) -> tuple[str, str]:
    """Return what is hashed of the value of a top-level key, for a job and for its fit."""
    job_text = identity.canonical_member(key, value, identity.volatile_patterns)
    if not identity.may_be_predict_only(key):
        return job_text, job_text
    return job_text, identity.canonical_member(key, value, identity.not_fit_patterns)


def _require_text_keys(tree: Any, key: str) -> None:
    """Raise UsageError for a key that is not a string."""
    if isinstance(tree, dict):
        for name, item in tree.items():
            require_text_key(name, key)
            if isinstance(item, (dict, list)):
                _require_text_keys(item, f"{key}.{name}")
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            if isinstance(item, (dict, list)):
                _require_text_keys(item, f"{key}[{index}]")
