"""Nested data of which points of a matrix share most, and in which each point has a few values of its own.

A `ValueTree` says where values go; applying it copies only the mappings and lists on the way to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.key_patterns import KeyPath

ValueIndex = tuple[int, int]
"""Group and position of a value among the values of a point."""

ValueTree = dict[str, Any]
"""Nested mappings that end in slots, by path component."""

ValueGroups = tuple[tuple[Any, ...], ...]


def make_value_tree(groups: Sequence[Sequence[KeyPath]]) -> ValueTree:
    """Return the tree that puts value (g, i) at the path ``groups[g][i]``; no path may lie inside another."""
    root: ValueTree = {}
    for group, paths in enumerate(groups):
        for position, path in enumerate(paths):
            node = root
            for part in path[:-1]:
                node = node.setdefault(part, {})
            node[path[-1]] = (group, position)
    return root


def insert_values(base: Any, value_tree: ValueTree | ValueIndex, values: ValueGroups) -> Any:
    """Return ``base`` with the values in their places; everything else is shared with it."""
    if isinstance(value_tree, tuple):
        return values[value_tree[0]][value_tree[1]]
    copy: Any
    if isinstance(base, list):
        copy = list(base)
        for part, inner in value_tree.items():
            copy[int(part)] = insert_values(base[int(part)], inner, values)
        return copy
    copy = dict(base) if isinstance(base, Mapping) else {}
    for part, inner in value_tree.items():
        copy[part] = insert_values(copy.get(part), inner, values)
    return copy


def value_at(tree: Any, path: KeyPath) -> Any:
    """Return the value at ``path``; raises LookupError where there is none."""
    for part in path:
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def has_path(tree: Any, path: KeyPath) -> bool:
    """Whether ``path`` exists in nested mappings."""
    for part in path:
        if not isinstance(tree, Mapping) or part not in tree:
            return False
        tree = tree[part]
    return True


def leads_through_value(path: KeyPath, tree: Any) -> bool:
    """Whether ``path`` leads through something that is no mapping: a list, an interpolation, a missing value, null."""
    for part in path[:-1]:
        if not isinstance(tree, dict):
            return True
        if part not in tree:
            return False
        tree = tree[part]
    return not isinstance(tree, dict)


def walk_texts(tree: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield every text in nested data with its path."""
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from walk_texts(item, (*path, str(key)))
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from walk_texts(item, (*path, str(index)))


def paths_to_texts(tree: Any) -> Any:
    """Return nested data with path objects, which a dataclass may declare, as strings; all keys become strings as well.

    Raises UsageError for a mapping that would have a key twice, such as ``1`` and ``"1"``.
    """
    if isinstance(tree, dict):
        texts = {key_text(key): paths_to_texts(item) for key, item in tree.items()}
        if len(texts) < len(tree):
            keys = ", ".join(map(repr, tree))
            raise UsageError(f"{{{keys}}}: two keys of a mapping that are one as text; rename one of them")
        return texts
    if isinstance(tree, list):
        return [paths_to_texts(item) for item in tree]
    return str(tree) if isinstance(tree, PurePath) else tree


def key_text(key: Any) -> str:
    """Return a key as text; ``true`` and ``false`` as YAML writes them."""
    if isinstance(key, bool):
        return str(key).lower()
    if isinstance(key, Enum):
        return key.name
    return key.decode(errors="backslashreplace") if isinstance(key, bytes) else str(key)


def walk_paths(tree: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every key and element in nested data, parents first."""
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for key, item in items:
        here = (*path, str(key))
        yield here
        yield from walk_paths(item, here)


class SharedConfig(Mapping[str, Any]):
    """One point's configuration: a layout shared with other points, and this point's own values.

    Reads like a dict of plain data and equals one. What it returns may be shared: never change it.
    """

    __slots__ = ("layout", "own_values")

    def __init__(self, layout: Layout, values: ValueGroups) -> None:
        self.layout = layout
        self.own_values = values

    def __getitem__(self, key: str) -> Any:
        value_tree = self.layout.value_tree.get(key)
        if value_tree is None:
            return self.layout.base[key]
        return insert_values(self.layout.base.get(key), value_tree, self.own_values)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.top_level_keys)

    def __len__(self) -> int:
        return len(self.layout.top_level_keys)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]


class Layout:
    """What the points of one template share: the base configuration, and where each point's own values go."""

    __slots__ = ("base", "groups", "top_level_keys", "value_tree")

    def __init__(self, base: Mapping[str, Any], groups: Sequence[Sequence[KeyPath]]) -> None:
        self.base = base
        self.groups = tuple(tuple(group) for group in groups)
        self.value_tree = make_value_tree(self.groups)
        self.top_level_keys = tuple(dict.fromkeys((*base, *self.value_tree)))
