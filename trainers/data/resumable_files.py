"""Arrays on disk that survive a kill at any instant: each with a record of what it is, written last.

A record is believed only if the array has the digest it tells, and was made as planned.
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

from seedfold.results.store.atomic_files import replacing


@dataclass(frozen=True)
class Kept:
    """``NAME.npy`` and what is known of it: ``plan`` says how it was made, ``notes`` are plain values."""

    name: str
    plan: str
    digest: str
    notes: Mapping[str, Any]

    @property
    def file(self) -> str:
        """The file with the array."""
        return f"{self.name}.npy"


def kept(folder: Path, name: str, plan: str) -> Kept | None:
    """Return what is whole in ``folder`` under this name and made by this plan, else None."""
    try:
        record = Kept(**json.loads(_record(folder, name).read_text()))
        whole = digest_of(folder / record.file) == record.digest
    except (OSError, ValueError, TypeError):
        return None
    return record if whole and (record.name, record.plan) == (name, plan) else None


def save(folder: Path, name: str, plan: str, array: NDArray[Any], notes: Mapping[str, Any]) -> Kept:
    """Write an array and then its record."""
    folder.mkdir(parents=True, exist_ok=True)
    _record(folder, name).unlink(missing_ok=True)
    record = Kept(name, plan, save_array(folder / f"{name}.npy", array), notes)
    with replacing(_record(folder, name)) as beside:
        beside.write_text(json.dumps(asdict(record)))
    return record


def hand_over(folder: Path, arrays: Sequence[Kept], staging: Path) -> None:
    """Give the arrays a second name in ``staging``."""
    staging.mkdir(parents=True, exist_ok=True)
    for each in arrays:
        name_again(folder / each.file, staging / each.file)


def save_array(path: Path, array: NDArray[Any]) -> str:
    """Write an array whole or not at all; return its digest."""
    with replacing(path) as beside:
        with beside.open("xb") as file:
            np.save(file, np.ascontiguousarray(array))
        return digest_of(beside)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def name_again(path: Path, new: Path) -> None:
    """Give a file a second name; where there are no such names, move it."""
    try:
        new.hardlink_to(path)
    except OSError:
        shutil.move(path, new)


def _record(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
