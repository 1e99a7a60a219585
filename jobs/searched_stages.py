"""Which stages of a study have a searched key among their axes: those that depend on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.stages import StageSpec


def stages_with_key(specs: Sequence[StageSpec], key: str, first: str | None = None) -> tuple[str, ...]:
    """Return the names of the stages that read a key, and of all stages after them.

    ``specs`` are sorted, parents first. With ``first`` it is this stage, and those after it. Raises UsageError if there
    is no such stage.
    """
    known = [spec.name for spec in specs]
    if first is not None and first not in known:
        raise UsageError(f"search.axes_from: no stage {first}{did_you_mean(first, known)}; stages: {', '.join(known)}")
    found: list[str] = []
    for spec in specs:
        begins = _reads(spec, key) if first is None else spec.name == first
        if begins or any(parent in found for parent in spec.after):
            found.append(spec.name)
    if not found:
        raise UsageError(f"search.space.{key}: no stage reads this key; add it to the key uses of the stage that does")
    return tuple(found)


def _reads(spec: StageSpec, key: str) -> bool:
    """Whether jobs of a stage contain a key, which may also be that of a config group."""
    if spec.uses is None:
        return True
    path = _path(key)
    derived = {_path(one.lstrip("+"))[0] for one in spec.derive}
    return path[0] in derived or any(_do_meet(path, use.split(".")) for use in spec.uses)


def _path(key: str) -> list[str]:
    group, _, package = key.partition("@")
    return [part for part in re.split(r"[./\[\]]", package or group) if part]


def _do_meet(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether one of two keys is the other one, or lies below it."""
    return all(left == right for left, right in zip(one, other, strict=False))
