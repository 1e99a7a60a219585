"""The text of a point's configuration that is hashed, put together from pieces that are kept.

The canonical text of a mapping is the sorted pieces of its keys. Pieces that no source changes are made once; others
are remembered by the numbers of the sources that change them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from seedfold.jobs.canonical_json import encode_plain
from seedfold.jobs.identity import Identity
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.shared_config import Layout, ValueGroups, ValueTree, insert_values, make_value_tree
from seedfold.jobs.subtree_facts import KnownSubtrees, hashed_texts

MAX_REMEMBERED = 1 << 14

Numbers = tuple[int, ...]


class HashedDocuments:
    """The documents (what is hashed) of the points of one layout.

    ``texts`` are hashed instead of values, by path. ``sources_of_groups`` holds, per group of the layout, the sources
    it depends on. What ``subtrees`` know is not made again.
    """

    def __init__(
        self,
        identity: Identity,
        layout: Layout,
        texts: Mapping[KeyPath, str],
        sources_of_groups: Sequence[Sequence[int]],
        subtrees: KnownSubtrees,
    ) -> None:
        self._identity = identity
        self._subtrees = subtrees
        paths = list(texts)
        base = insert_values(layout.base, make_value_tree([paths]), (tuple(texts.values()),)) if texts else layout.base
        self._base: Mapping[str, Any] = base
        self._value_tree = _without_paths(make_value_tree(layout.groups), set(paths))
        self._top_level_keys = layout.top_level_keys
        self._renames_across_keys = identity.has_renames_across(layout.top_level_keys)
        self._sources = {name: _collect_sources(self._value_tree[name], sources_of_groups) for name in self._value_tree}
        self._prepare()

    def _key_value(self, name: str, values: ValueGroups) -> Any:
        graft = self._value_tree.get(name)
        if graft is None:
            return self._base[name]
        return insert_values(self._base.get(name), graft, values)

    def _prepare(self) -> None:
        self._pieces: list[tuple[str, str]] = []
        self._changing_pieces: list[tuple[int, str, Callable[[Numbers], Any], dict[Any, tuple[str, str]]]] = []
        constant: list[tuple[str, str]] = []
        for name in sorted(self._top_level_keys):
            if name not in self._value_tree:
                constant.append(self._make_piece(name, self._base[name]))
                continue
            self._pieces.append(_join_pieces(constant))
            constant = []
            self._changing_pieces.append((len(self._pieces), name, _key_reader(self._sources[name]), {}))
            self._pieces.append(("", ""))
        self._pieces.append(_join_pieces(constant))
        self._fit_differs = any(self._identity.may_be_predict_only(name) for name in self._top_level_keys)

    def _make_piece(self, name: str, value: Any) -> tuple[str, str]:
        known = self._subtrees.find(name, value)
        return hashed_texts(self._identity, name, value) if known is None else known.hashed_texts

    def documents_of(self, numbers: Numbers, values: ValueGroups) -> tuple[str, str]:
        """Return the documents of a point's job and of its fit; the same object where they are equal."""
        if self._renames_across_keys:
            return self._documents_at_once(values)
        pieces = list(self._pieces)
        for position, name, key_of, known in self._changing_pieces:
            key = key_of(numbers)
            piece = known.get(key)
            if piece is None:
                if len(known) >= MAX_REMEMBERED:
                    known.clear()
                piece = known[key] = self._make_piece(name, self._key_value(name, values))
            pieces[position] = piece
        job_text = "{" + ",".join([piece[0] for piece in pieces if piece[0]]) + "}"
        if not self._fit_differs:
            return job_text, job_text
        fit = "{" + ",".join([piece[1] for piece in pieces if piece[1]]) + "}"
        return job_text, job_text if fit == job_text else fit

    def _documents_at_once(self, values: ValueGroups) -> tuple[str, str]:
        tree = {name: self._key_value(name, values) for name in self._top_level_keys}
        job_text = encode_plain(self._identity.document(tree, self._identity.volatile_patterns))
        fit = encode_plain(self._identity.document(tree, self._identity.not_fit_patterns))
        return job_text, job_text if fit == job_text else fit


def _join_pieces(pieces: Sequence[tuple[str, str]]) -> tuple[str, str]:
    job_text, fit = (",".join(piece[kind] for piece in pieces if piece[kind]) for kind in (0, 1))
    return job_text, fit


def _key_reader(sources: Sequence[int]) -> Callable[[Numbers], Any]:
    return itemgetter(*sources) if sources else lambda numbers: ()


def _without_paths(value_tree: ValueTree, paths: set[KeyPath], at: KeyPath = ()) -> ValueTree:
    """Return the tree of values without the slots at ``paths``."""
    remaining: ValueTree = {}
    for part, inner in value_tree.items():
        here = (*at, part)
        if isinstance(inner, tuple):
            if here not in paths:
                remaining[part] = inner
        elif rest := _without_paths(inner, paths, here):
            remaining[part] = rest
    return remaining


def _collect_sources(value_tree: Any, sources_of_groups: Sequence[Sequence[int]]) -> list[int]:
    if isinstance(value_tree, tuple):
        return list(sources_of_groups[value_tree[0]])
    return sorted({source for inner in value_tree.values() for source in _collect_sources(inner, sources_of_groups)})
