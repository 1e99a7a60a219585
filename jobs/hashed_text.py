"""The hashed text of a point's configuration, put together from remembered pieces.

The canonical text of a mapping is the sorted pieces of its keys. Pieces that no source changes are made once; others
are remembered by the numbers of the sources that change them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from seedfold.jobs.canonical import encode_plain
from seedfold.jobs.identity import Identity
from seedfold.jobs.patterns import Path
from seedfold.jobs.shared_config import Graft, Layout, Values, apply_graft, graft_of

REMEMBERED = 1 << 14

Numbers = tuple[int, ...]


class Documents:
    """The documents (what is hashed) of the points of one layout.

    ``texts`` are hashed instead of values, by path. ``depends`` holds, per group of the layout, the sources
    it depends on.
    """

    def __init__(
        self, identity: Identity, layout: Layout, texts: Mapping[Path, str], depends: Sequence[Sequence[int]]
    ) -> None:
        self._identity = identity
        paths = list(texts)
        base = apply_graft(layout.base, graft_of([paths]), (tuple(texts.values()),)) if texts else layout.base
        self._base: Mapping[str, Any] = base
        self._graft = _without(graft_of(layout.groups), set(paths))
        self._names = layout.names
        self._whole = identity.renames_across(layout.names)
        self._sources = {name: _sources(self._graft[name], depends) for name in self._graft}
        self._prepare()

    def _value(self, name: str, values: Values) -> Any:
        graft = self._graft.get(name)
        if graft is None:
            return self._base[name]
        return apply_graft(self._base.get(name), graft, values)

    def _prepare(self) -> None:
        self._pieces: list[tuple[str, str]] = []
        self._changing: list[tuple[int, str, Callable[[Numbers], Any], dict[Any, tuple[str, str]]]] = []
        constant: list[tuple[str, str]] = []
        for name in sorted(self._names):
            if name not in self._graft:
                constant.append(self._piece(name, self._base[name]))
                continue
            self._pieces.append(_run_of(constant))
            constant = []
            self._changing.append((len(self._pieces), name, _key(self._sources[name]), {}))
            self._pieces.append(("", ""))
        self._pieces.append(_run_of(constant))
        self._fit_differs = any(self._identity.touches_predict(name) for name in self._names)

    def _piece(self, name: str, value: Any) -> tuple[str, str]:
        whole = self._identity.piece(name, value, self._identity.dropped)
        if not self._identity.touches_predict(name):
            return whole, whole
        return whole, self._identity.piece(name, value, self._identity.dropped_from_fit)

    def of(self, numbers: Numbers, values: Values) -> tuple[str, str]:
        """Return the documents of a point's job and of its fit; the same object where they are equal."""
        if self._whole:
            return self._in_one_go(values)
        pieces = list(self._pieces)
        for position, name, key_of, known in self._changing:
            key = key_of(numbers)
            piece = known.get(key)
            if piece is None:
                if len(known) >= REMEMBERED:
                    known.clear()
                piece = known[key] = self._piece(name, self._value(name, values))
            pieces[position] = piece
        whole = "{" + ",".join([piece[0] for piece in pieces if piece[0]]) + "}"
        if not self._fit_differs:
            return whole, whole
        fit = "{" + ",".join([piece[1] for piece in pieces if piece[1]]) + "}"
        return whole, whole if fit == whole else fit

    def _in_one_go(self, values: Values) -> tuple[str, str]:
        tree = {name: self._value(name, values) for name in self._names}
        whole = encode_plain(self._identity.document(tree, self._identity.dropped))
        fit = encode_plain(self._identity.document(tree, self._identity.dropped_from_fit))
        return whole, whole if fit == whole else fit


def _run_of(pieces: Sequence[tuple[str, str]]) -> tuple[str, str]:
    whole, fit = (",".join(piece[kind] for piece in pieces if piece[kind]) for kind in (0, 1))
    return whole, fit


def _key(sources: Sequence[int]) -> Callable[[Numbers], Any]:
    return itemgetter(*sources) if sources else lambda numbers: ()


def _without(graft: Graft, paths: set[Path], at: Path = ()) -> Graft:
    """Return the graft without the slots at ``paths``."""
    kept: Graft = {}
    for part, inner in graft.items():
        here = (*at, part)
        if isinstance(inner, tuple):
            if here not in paths:
                kept[part] = inner
        elif rest := _without(inner, paths, here):
            kept[part] = rest
    return kept


def _sources(graft: Any, depends: Sequence[Sequence[int]]) -> list[int]:
    if isinstance(graft, tuple):
        return list(depends[graft[0]])
    return sorted({source for inner in graft.values() for source in _sources(inner, depends)})
