"""The names of metrics: tables say ``val.accuracy`` for what a job logs as ``val/accuracy``; either may be typed."""

from __future__ import annotations

from seedfold.results.store.published import RETURNED


def column_name(split: str, metric: str) -> str:
    """Return the name of the column that has a metric of a split in every row."""
    return metric if split == RETURNED else f"{split}.{metric}"


def is_name_of(name: str, metric: str, split: str | None = None, head: str | None = None) -> bool:
    """Whether who types ``name`` means this metric: ``accuracy``, ``val/accuracy`` or ``val.head.accuracy``."""
    spelled = [[metric], [split, metric], [split, head, metric]]
    return any(name == mark.join(filter(None, parts)) for parts in spelled for mark in "./")
