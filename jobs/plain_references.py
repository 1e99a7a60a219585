"""Resolves strings that have only plain references, such as ``run-${seed}``, without OmegaConf's parser.

So are late references that need nothing of the configuration. Most interpolations are of this kind, and this is a
hundred times as fast. The results equal those of OmegaConf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seedfold.jobs.axis_effects import Leaf, do_overlap
from seedfold.jobs.interpolations import MISSING, late_text, split_references, target_path
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.memoization import ValueSource
from seedfold.jobs.shared_config import has_path, value_at, walk_texts
from seedfold.jobs.subtree_facts import PathSet

ValueReader = Callable[[Sequence[tuple[Any, ...]]], Any]
"""Forms a value from the values of the sources, one tuple each."""

NEEDS_OMEGACONF: Any = object()
"""What a reader returns if OmegaConf has to resolve the string after all."""


def make_reader(
    leaf: Leaf, sources: Sequence[ValueSource], changing: PathSet, base: Mapping[str, Any]
) -> ValueReader | None:
    """Return a function that resolves a string of plain references, or None if only OmegaConf can do it.

    ``changing`` are the paths of other texts that sources change, ``base`` is the resolved rest.
    """
    found = split_references(leaf.text)
    if found is None:
        late = late_text(leaf.text)
        return None if late is None else lambda values: late
    literals, references = found
    paths = [path for name in references if (path := _absolute_path(name, leaf.path)) is not None]
    readers = [reader for path in paths if (reader := _make_path_reader(path, sources, changing, base)) is not None]
    if len(readers) < len(references):
        return None
    if literals == ("", ""):
        return readers[0]
    return lambda values: _join(literals, [reader(values) for reader in readers])


def unresolved_paths(tree: Mapping[str, Any]) -> list[KeyPath]:
    """Return the paths of strings that stand for another value: interpolations, and missing values."""
    return [path for path, text in walk_texts(tree) if "${" in text or text == MISSING]


def _absolute_path(reference: str, path: KeyPath) -> KeyPath | None:
    """Return the path that a reference in the value at ``path`` names; None where it leads out of the configuration."""
    dots = len(reference) - len(reference.lstrip("."))
    return target_path(reference, path) if dots <= len(path) else None


def _make_path_reader(
    path: KeyPath, sources: Sequence[ValueSource], changing: PathSet, base: Mapping[str, Any]
) -> ValueReader | None:
    if changing.do_overlap(path):
        return None
    overlapping = [number for number, source in enumerate(sources) if do_overlap(path, source.path)]
    if not overlapping:
        if not has_path(base, path):
            return None
        constant = value_at(base, path)
        return lambda values: constant
    number = overlapping[0]
    return (lambda values: values[number][0]) if sources[number].path == path else None


def _join(literals: tuple[str, ...], values: list[Any]) -> Any:
    if any(isinstance(value, (dict, list)) for value in values):
        return NEEDS_OMEGACONF
    texts = [literals[0]]
    for value, literal in zip(values, literals[1:], strict=True):
        texts += [str(value), literal]
    return "".join(texts)
