"""Finds keys in which jobs of one stage differ although no axis names them.

Jobs that were added under another setting (``seed=3 trainer.max_epochs=1`` beside ``seed=0,1,2``) must not be averaged
with the others as if nothing but the seed were different. Each key that differs between the fixed
parts of their configurations becomes one more axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.description import JobDescription
from seedfold.jobs.identity import Identity
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.shared_config import Layout, SharedConfig

_ABSENT = "(absent)"
_CONTENT_KEYS = ("imported",)
"""Keys of imported jobs that are not settings: only their axes distinguish two imports."""
FixedValues = dict[str, Any]


def with_unnamed_axes(jobs: Sequence[JobDescription], identity: Identity) -> list[JobDescription]:
    """Return the jobs, in their order, with one more axis for each key in which jobs of a stage differ without an axis.

    Volatile keys do not count, and neither do values that an axis or a derivation sets. If a config group is an axis,
    the differences between its options do not count either.
    """
    extra: dict[int, Mapping[str, Any]] = {}
    for numbers in _comparable_groups(jobs):
        extra.update(_differences([(number, jobs[number]) for number in numbers], identity))
    return [
        replace(job, axes={**job.axes, **extra[number]}) if extra.get(number) else job
        for number, job in enumerate(jobs)
    ]


def _comparable_groups(jobs: Sequence[JobDescription]) -> Iterable[list[int]]:
    """Group positions of jobs of one stage whose group axes agree."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, job in enumerate(jobs):
        options = {key: value for key, value in job.axes.items() if not _is_value_axis(job, key)}
        groups.setdefault((job.stage, canonical_json(options) if options else ""), []).append(number)
    return groups.values()


def _is_value_axis(job: JobDescription, key: str) -> bool:
    path = tuple(key.split("."))
    return isinstance(job.config, SharedConfig) and any(path in group for group in job.config.layout.groups)


def _differences(jobs: Sequence[tuple[int, JobDescription]], identity: Identity) -> dict[int, FixedValues]:
    layouts = {id(job.config.layout): job for _, job in jobs if isinstance(job.config, SharedConfig)}
    if len(layouts) < 2:
        return {}
    varying = {path for job in layouts.values() for group in _layout(job).groups for path in group}
    fixed = {key: _fixed_part(job, varying, identity) for key, job in layouts.items()}
    names = sorted({name for part in fixed.values() for name in part})
    differing = [name for name in names if _has_several_values(name, fixed.values())]
    values = {key: {name: part.get(name, _ABSENT) for name in differing} for key, part in fixed.items()}
    return {number: values[id(_layout(job))] for number, job in jobs} if differing else {}


def _has_several_values(name: str, parts: Iterable[FixedValues]) -> bool:
    return len({canonical_json(part.get(name, _ABSENT)) for part in parts}) > 1


def _layout(job: JobDescription) -> Layout:
    assert isinstance(job.config, SharedConfig)
    return job.config.layout


def _fixed_part(job: JobDescription, varying: Iterable[KeyPath], identity: Identity) -> FixedValues:
    varying = set(varying)
    leaves = _leaves(_layout(job).base, varying)
    fixed = {".".join(path): value for path, value in leaves if not _is_no_setting(path, value, identity)}
    # Keys are compared under their oldest names, so that a key that was renamed is still the same key.
    return {identity.old_name(key): job.texts.get(key, value) for key, value in fixed.items() if key not in job.axes}


def _is_no_setting(path: KeyPath, value: Any, identity: Identity) -> bool:
    """Whether a key cannot distinguish two jobs. A neutral value counts like a key that is not there."""
    neutral = identity.neutral_text_by_path.get(path)
    is_neutral = neutral is not None and canonical_json(value) == neutral
    return is_neutral or path[:1] == _CONTENT_KEYS or identity.volatile_patterns.covers(path)


def _leaves(tree: Any, varying: set[KeyPath], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the values that no point replaces; a list is one value."""
    for key, value in tree.items():
        here = (*path, str(key))
        if here in varying:
            continue
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, varying, here)
        else:
            yield here, value
