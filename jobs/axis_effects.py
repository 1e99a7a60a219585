"""Which values of a configuration change when an axis changes, as the texts of its interpolations show.

The analysis may name too many values, but never too few: OmegaConf evaluates again each value that it names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.identity import Identity
from seedfold.jobs.interpolations import find_dependencies, target_path
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.shared_config import walk_texts
from seedfold.jobs.study_keys import Conventions
from seedfold.jobs.subtree_facts import KnownSubtrees


@dataclass(frozen=True)
class Leaf:
    """A string with interpolations: which sources change it, and whether it depends on the machine."""

    path: KeyPath
    text: str
    sources: frozenset[int]
    depends_on_machine: bool


class _OverlapIndex:
    """Finds the paths that contain a path or lie in it."""

    def __init__(self, paths: Iterable[KeyPath]) -> None:
        self._equal: dict[KeyPath, list[int]] = defaultdict(list)
        self._inside: dict[KeyPath, list[int]] = defaultdict(list)
        for number, path in enumerate(paths):
            self._equal[path].append(number)
            for length in range(len(path)):
                self._inside[path[:length]].append(number)

    def overlapping(self, path: KeyPath) -> list[int]:
        """Return the numbers of the paths that contain ``path``, equal it, or lie in it."""
        numbers = list(self._inside.get(path, ()))
        for length in range(len(path) + 1):
            numbers += self._equal.get(path[:length], ())
        return numbers


def do_overlap(left: KeyPath, right: KeyPath) -> bool:
    """Whether one path contains the other."""
    shorter = min(len(left), len(right))
    return left[:shorter] == right[:shorter]


def find_leaves(
    tree: Mapping[str, Any],
    sources: Sequence[KeyPath],
    identity: Identity,
    included_paths: Iterable[KeyPath],
    conventions: Conventions,
    subtrees: KnownSubtrees,
) -> list[Leaf]:
    """Return every text with interpolations in ``tree``, outside the places that ``sources`` set.

    A leaf's ``sources`` are the numbers of the sources that may change it, through other leaves as well.
    ``included_paths`` are paths that are included although they lie below the unreferenced keys of the ``conventions``.
    """
    texts = _find_texts(tree, sources, included_paths, conventions.evaluated_once, subtrees)
    paths = [path for path, _ in texts]
    leaf_index, source_index = _OverlapIndex(paths), _OverlapIndex(sources)
    direct_sources: list[frozenset[int]] = []
    on_machine: list[bool] = []
    edges: list[list[int]] = []
    for path, text in texts:
        found = find_dependencies(text)
        targets = [target_path(reference, path) for reference in found.references]
        everything = frozenset(range(len(sources)))
        touched_sources = frozenset(number for goal in targets for number in source_index.overlapping(goal))
        direct_sources.append(everything if found.may_depend_on_anything else touched_sources)
        on_machine.append(
            found.depends_on_machine
            or any(_depends_on_machine(goal, tree, identity, conventions, subtrees) for goal in targets)
        )
        edges.append([number for goal in targets for number in leaf_index.overlapping(goal)])
    return [
        Leaf(*texts[number], *_follow_edges(number, direct_sources, on_machine, edges)) for number in range(len(texts))
    ]


def _find_texts(
    tree: Mapping[str, Any],
    sources: Sequence[KeyPath],
    included_paths: Iterable[KeyPath],
    unreferenced: frozenset[str],
    subtrees: KnownSubtrees,
) -> list[tuple[KeyPath, str]]:
    masked = set(sources)
    referenced = {key: value for key, value in tree.items() if key not in unreferenced}
    texts = [
        (path, text)
        for path, text in subtrees.unresolved(referenced)
        if "${" in text and not any(path[:length] in masked for length in range(1, len(path) + 1))
    ]
    for start in included_paths:
        inner: Any = tree
        for part in start:
            inner = inner[part]
        if start[0] in unreferenced:
            texts += [(path, text) for path, text in walk_texts(inner, start) if "${" in text]
    return texts


def _depends_on_machine(
    path: KeyPath, tree: Mapping[str, Any], identity: Identity, conventions: Conventions, subtrees: KnownSubtrees
) -> bool:
    if not path or path[0] in conventions.study_keys or identity.volatile_patterns.covers(path):
        return True
    if path[0] in conventions.evaluated_once or path[0] not in tree:
        return False
    return subtrees.of(path[0], tree[path[0]]).volatile.do_overlap(path)


def _follow_edges(
    start: int, direct_sources: Sequence[frozenset[int]], on_machine: Sequence[bool], edges: Sequence[Sequence[int]]
) -> tuple[frozenset[int], bool]:
    seen, waiting = {start}, [start]
    while waiting:
        for number in edges[waiting.pop()]:
            if number not in seen:
                seen.add(number)
                waiting.append(number)
    return frozenset().union(*(direct_sources[number] for number in seen)), any(on_machine[number] for number in seen)
