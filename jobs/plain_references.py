"""Texts made of nothing but plain references, such as ``run-${seed}``, formed without OmegaConf's parser.

They are what most interpolations are, and a hundred times as fast this way. What is formed equals what OmegaConf forms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seedfold.jobs.axis_effects import Leaf, related
from seedfold.jobs.interpolations import MISSING, target, template_of
from seedfold.jobs.memoization import Source
from seedfold.jobs.patterns import Path
from seedfold.jobs.shared_config import at, has, strings

Reader = Callable[[Sequence[tuple[Any, ...]]], Any]
"""Forms a value from the values of the sources, one tuple each."""

UNKNOWN: Any = object()
"""What a reader returns where OmegaConf has to decide after all."""


def shortcut(leaf: Leaf, sources: Sequence[Source], changing: Sequence[Path], base: Mapping[str, Any]) -> Reader | None:
    """Return how to form a text of plain references, or None where OmegaConf has to.

    ``changing`` are the paths of other texts that sources change, ``base`` is the resolved rest.
    """
    found = template_of(leaf.text)
    if found is None:
        return None
    literals, references = found
    paths = [path for name in references if (path := _absolute(name, leaf.path)) is not None]
    readers = [reader for path in paths if (reader := _reader(path, sources, changing, base)) is not None]
    if len(readers) < len(references):
        return None
    if literals == ("", ""):
        return readers[0]
    return lambda values: _joined(literals, [reader(values) for reader in readers])


def unsettled(tree: Mapping[str, Any]) -> list[Path]:
    """Return the paths of texts that stand for something else: interpolations, and missing values."""
    return [path for path, text in strings(tree) if "${" in text or text == MISSING]


def _absolute(reference: str, at: Path) -> Path | None:
    """Return the path that a reference in the value at ``at`` names; None where it leads out of the configuration."""
    dots = len(reference) - len(reference.lstrip("."))
    return target(reference, at) if dots <= len(at) else None


def _reader(path: Path, sources: Sequence[Source], changing: Sequence[Path], base: Mapping[str, Any]) -> Reader | None:
    if any(related(path, other) for other in changing):
        return None
    near = [number for number, source in enumerate(sources) if related(path, source.path)]
    if not near:
        if not has(base, path):
            return None
        constant = at(base, path)
        return lambda values: constant
    number = near[0]
    return (lambda values: values[number][0]) if sources[number].path == path else None


def _joined(literals: tuple[str, ...], values: list[Any]) -> Any:
    if any(isinstance(value, (dict, list)) for value in values):
        return UNKNOWN
    pieces = [literals[0]]
    for value, literal in zip(values, literals[1:], strict=True):
        pieces += [str(value), literal]
    return "".join(pieces)
