"""Which folds there are: ``task.folds.k`` says how many, and ``fold`` picks one of them, from 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from seedfold.jobs.errors import UsageError


def refuse_unknown_fold(config: Mapping[str, Any]) -> None:
    """Raise UsageError if a configuration picks a fold that its task does not have.

    A configuration without ``fold`` or without ``task.folds.k`` is accepted.
    """
    fold = config.get("fold")
    if not _is_count(fold):
        return
    folds = _get_child(_get_child(config, "task"), "folds")
    count = _get_child(folds, "k")
    if _is_count(count) and not 0 <= fold < count:
        known = "0" if count == 1 else f"0 to {count - 1}"
        raise UsageError(
            f"fold: {fold} is not one of the folds of task.folds.k={count}, which are {known}; choose one of them"
        )


def _get_child(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, Mapping) else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
