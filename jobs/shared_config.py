"""Nested plain data with some places replaced: what points of a matrix share, and what they do not.

A `Graft` says where values go; applying it copies only the mappings and lists on the way to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from seedfold.jobs.patterns import Path

Slot = tuple[int, int]
"""Group and position of a value among the values of a point."""

Graft = dict[str, Any]
"""Nested mappings that end in slots, by path component."""

Values = tuple[tuple[Any, ...], ...]


def graft_of(groups: Sequence[Sequence[Path]]) -> Graft:
    """Return the graft that puts value (g, i) at the path ``groups[g][i]``; no path may lie inside another."""
    root: Graft = {}
    for group, paths in enumerate(groups):
        for position, path in enumerate(paths):
            node = root
            for part in path[:-1]:
                node = node.setdefault(part, {})
            node[path[-1]] = (group, position)
    return root


def apply_graft(base: Any, graft: Graft | Slot, values: Values) -> Any:
    """Return ``base`` with the values in their places; everything else is shared with it."""
    if isinstance(graft, tuple):
        return values[graft[0]][graft[1]]
    copy: Any
    if isinstance(base, list):
        copy = list(base)
        for part, inner in graft.items():
            copy[int(part)] = apply_graft(base[int(part)], inner, values)
        return copy
    copy = dict(base) if isinstance(base, Mapping) else {}
    for part, inner in graft.items():
        copy[part] = apply_graft(copy.get(part), inner, values)
    return copy


def at(tree: Any, path: Path) -> Any:
    """Return the value at ``path``; raises LookupError where there is none."""
    for part in path:
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def has(tree: Any, path: Path) -> bool:
    """Whether ``path`` exists in nested mappings."""
    for part in path:
        if not isinstance(tree, Mapping) or part not in tree:
            return False
        tree = tree[part]
    return True


def strings(tree: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield every text in nested data with its path."""
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from strings(item, (*path, str(key)))
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from strings(item, (*path, str(index)))


def with_texts_for_paths(tree: Any) -> Any:
    """Return nested data with paths of files, which a dataclass may declare, as texts."""
    if isinstance(tree, dict):
        return {key: with_texts_for_paths(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [with_texts_for_paths(item) for item in tree]
    return str(tree) if isinstance(tree, PurePath) else tree


def keys(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every key and element in nested data, parents first."""
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for key, item in items:
        here = (*path, str(key))
        yield here
        yield from keys(item, here)


class SharedConfig(Mapping[str, Any]):
    """One point's configuration: a layout shared with other points, and this point's own values.

    Reads like a dict of plain data and equals one. What it returns may be shared: never change it.
    """

    __slots__ = ("layout", "own")

    def __init__(self, layout: Layout, values: Values) -> None:
        self.layout = layout
        self.own = values

    def __getitem__(self, key: str) -> Any:
        graft = self.layout.graft.get(key)
        if graft is None:
            return self.layout.base[key]
        return apply_graft(self.layout.base.get(key), graft, self.own)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.names)

    def __len__(self) -> int:
        return len(self.layout.names)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]


class Layout:
    """What the points of one template share: the base configuration, and where each point's own values go."""

    __slots__ = ("base", "graft", "groups", "names")

    def __init__(self, base: Mapping[str, Any], groups: Sequence[Sequence[Path]]) -> None:
        self.base = base
        self.groups = tuple(tuple(group) for group in groups)
        self.graft = graft_of(self.groups)
        self.names = tuple(dict.fromkeys((*base, *self.graft)))
