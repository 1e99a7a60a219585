"""Axis values as people type them, and those that some jobs of a study have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seedfold.jobs.description import JobDescription

_MOST_VALUES = 6


def axes_text(axes: Mapping[str, Any]) -> str:
    """Axis values as people type them: ``seed=3 fold=1``."""
    return " ".join(f"{key}={value_text(value)}" for key, value in axes.items())


def value_text(value: Any) -> str:
    """An axis value as people type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def common_place(some: Sequence[JobDescription], all_values: Mapping[str, Sequence[str]]) -> str:
    """Return, as conditions, the values of the axes that ``some`` jobs of a study have and not all jobs do.

    ``all_values`` are those of all jobs, from `axis_texts`. An axis is left out if ``some`` have all of its values, or
    too many to be read. Empty for a single job: its own axes say it.
    """
    if len(some) < 2:
        return ""
    found = axis_texts(some)
    told = {axis: texts for axis, texts in found.items() if len(texts) < min(len(all_values[axis]), _MOST_VALUES + 1)}
    return " ".join(f"{axis}={','.join(texts)}" for axis, texts in told.items())


def axis_texts(jobs: Iterable[JobDescription]) -> dict[str, list[str]]:
    """The texts of the values of each axis, in the order in which they come."""
    found: dict[str, dict[str, None]] = {}
    for job in jobs:
        for axis, value in job.axes.items():
            found.setdefault(axis, {}).setdefault(value_text(value))
    return {axis: list(texts) for axis, texts in found.items()}
