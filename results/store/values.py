"""What a job found out for later stages: ``values.json`` among its results, a JSON object.

A later stage refers to a value with ``${result:STAGE,KEY}``, KEY with dots: ``weights.acc`` or ``counts.3``. The key
``blocked`` says that there are no values, and why: jobs that refer to one are blocked for that reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import DataFailure, RunBlocked

VALUES_FILE = "values.json"
BLOCKED_KEY = "blocked"


def write_values(folder: Path, values: Mapping[str, Any]) -> None:
    """Leave values for later stages in a job's staging folder. Raises ValueError for what JSON has no number for."""
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / VALUES_FILE).write_text(text + "\n", encoding="utf-8")


def read_value(folder: Path, key: str) -> Any:
    """Return the value at a dotted key of what a job published.

    Raises RunBlocked where the job says that there is none, DataFailure where it says nothing.
    """
    file = folder / VALUES_FILE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataFailure(f"{file}: missing; the job left no values for {key}") from None
    if BLOCKED_KEY in values:
        raise RunBlocked(str(values[BLOCKED_KEY]))
    return _value_at(values, key, file)


def _value_at(values: Any, key: str, file: Path) -> Any:
    for part in key.split("."):
        try:
            values = values[int(part)] if isinstance(values, list) else values[part]
        except (KeyError, IndexError, ValueError, TypeError):
            known = [str(name) for name in values] if isinstance(values, dict) else []
            raise DataFailure(f"{file}: no value {key}{did_you_mean(part, known)}") from None
    return values
