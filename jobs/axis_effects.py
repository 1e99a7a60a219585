"""Which values of a configuration change when an axis does, told from the texts of its interpolations.

The analysis may name too much, never too little: whatever it names is evaluated again by OmegaConf.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.identity import Identity
from seedfold.jobs.interpolations import dependencies, target
from seedfold.jobs.patterns import Path
from seedfold.jobs.shared_config import keys, strings
from seedfold.jobs.study_keys import Conventions


@dataclass(frozen=True)
class Leaf:
    """A text with interpolations: what changes it, and whether it depends on the machine."""

    path: Path
    text: str
    sources: frozenset[int]
    machine: bool


class _Near:
    """Finds the paths that contain a path or lie in it."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._exact: dict[Path, list[int]] = defaultdict(list)
        self._below: dict[Path, list[int]] = defaultdict(list)
        for number, path in enumerate(paths):
            self._exact[path].append(number)
            for length in range(len(path)):
                self._below[path[:length]].append(number)

    def to(self, path: Path) -> list[int]:
        """Return the numbers of the paths that contain ``path``, equal it, or lie in it."""
        found = list(self._below.get(path, ()))
        for length in range(len(path) + 1):
            found += self._exact.get(path[:length], ())
        return found


def related(left: Path, right: Path) -> bool:
    """Whether one path contains the other."""
    shorter = min(len(left), len(right))
    return left[:shorter] == right[:shorter]


def analyse(
    tree: Mapping[str, Any],
    sources: Sequence[Path],
    identity: Identity,
    wanted: Iterable[Path],
    conventions: Conventions,
) -> list[Leaf]:
    """Return every text with interpolations in ``tree``, outside the places that ``sources`` set.

    A leaf's ``sources`` are the numbers of the sources that may change it, through other leaves as well. ``wanted`` are
    paths below the unreferenced keys of the ``conventions`` that are included all the same.
    """
    texts = _texts(tree, sources, wanted, conventions.unreferenced)
    places = [path for path, _ in texts]
    near_leaf, near_source = _Near(places), _Near(sources)
    volatile = _Near(
        path for path in keys(tree) if path[0] not in conventions.unreferenced and identity.dropped.matches(path)
    )
    direct: list[frozenset[int]] = []
    machine: list[bool] = []
    edges: list[list[int]] = []
    for path, text in texts:
        said = dependencies(text)
        targets = [target(reference, path) for reference in said.references]
        everything = frozenset(range(len(sources)))
        touched = frozenset(number for goal in targets for number in near_source.to(goal))
        direct.append(everything if said.anything else touched)
        machine.append(said.machine or any(_on_machine(goal, identity, volatile, conventions) for goal in targets))
        edges.append([number for goal in targets for number in near_leaf.to(goal)])
    return [Leaf(*texts[number], *_closure(number, direct, machine, edges)) for number in range(len(texts))]


def _texts(
    tree: Mapping[str, Any], sources: Sequence[Path], wanted: Iterable[Path], unreferenced: frozenset[str]
) -> list[tuple[Path, str]]:
    masked = set(sources)
    kept = {key: value for key, value in tree.items() if key not in unreferenced}
    found = [
        (path, text)
        for path, text in strings(kept)
        if "${" in text and not any(path[:length] in masked for length in range(1, len(path) + 1))
    ]
    for start in wanted:
        inner: Any = tree
        for part in start:
            inner = inner[part]
        if start[0] in unreferenced:
            found += [(path, text) for path, text in strings(inner, start) if "${" in text]
    return found


def _on_machine(goal: Path, identity: Identity, volatile: _Near, conventions: Conventions) -> bool:
    return not goal or goal[0] in conventions.study or identity.dropped.covers(goal) or bool(volatile.to(goal))


def _closure(
    start: int, direct: Sequence[frozenset[int]], machine: Sequence[bool], edges: Sequence[Sequence[int]]
) -> tuple[frozenset[int], bool]:
    seen, waiting = {start}, [start]
    while waiting:
        for number in edges[waiting.pop()]:
            if number not in seen:
                seen.add(number)
                waiting.append(number)
    return frozenset().union(*(direct[number] for number in seen)), any(machine[number] for number in seen)
