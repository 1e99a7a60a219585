"""Arrays on disk that survive a kill at any moment: the record of each array is written after the array.

A record counts only if the array has the digest in the record, and was made by the same plan.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.results.store.atomic_files import replace_file


@dataclass(frozen=True)
class ArrayRecord:
    """``NAME.npy`` and its record: ``plan`` says how it was made, ``notes`` are plain values."""

    name: str
    plan: str
    digest: str
    notes: Mapping[str, Any]

    @property
    def file(self) -> str:
        """The file with the array."""
        return f"{self.name}.npy"


def find_complete(folder: Path, name: str, plan: str) -> ArrayRecord | None:
    """Return the array with this name in ``folder``, if it is whole and was made by this plan; else None."""
    try:
        record = ArrayRecord(**json.loads(_record_file(folder, name).read_text()))
        is_unchanged = file_digest(folder / record.file) == record.digest
    except (OSError, ValueError, TypeError):
        return None
    return record if is_unchanged and (record.name, record.plan) == (name, plan) else None


def save_with_record(folder: Path, name: str, plan: str, array: NDArray[Any], notes: Mapping[str, Any]) -> ArrayRecord:
    """Write an array and then its record."""
    folder.mkdir(parents=True, exist_ok=True)
    _record_file(folder, name).unlink(missing_ok=True)
    record = ArrayRecord(name, plan, save_array(folder / f"{name}.npy", array), notes)
    with replace_file(_record_file(folder, name)) as temporary:
        temporary.write_text(json.dumps(asdict(record)))
    return record


def link_into_staging(folder: Path, arrays: Sequence[ArrayRecord], staging: Path) -> None:
    """Link the arrays into ``staging``."""
    staging.mkdir(parents=True, exist_ok=True)
    for each in arrays:
        link_or_move(folder / each.file, staging / each.file)


def save_array(path: Path, array: NDArray[Any]) -> str:
    """Write an array whole or not at all; return its digest."""
    with replace_file(path) as temporary:
        with temporary.open("xb") as file:
            np.save(file, np.ascontiguousarray(array))
        return file_digest(temporary)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_move(path: Path, new: Path) -> None:
    """Make a hard link to a file; move the file if the file system has no hard links."""
    try:
        new.hardlink_to(path)
    except OSError:
        shutil.move(path, new)


def _record_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
