"""Finds files that earlier stages published for a job, by the name of the file and not by the name of the stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from seedfold.jobs.work import ConfigFailure

SLICES_INDEX = "index.parquet"
"""The table of slices, in the folder in which an earlier stage has published slices."""


def find_upstream_file(parents: Mapping[str, Path], *names: str) -> Path:
    """Return the only file of one of these names among the parents' results.

    Raises ConfigFailure if no parent or several parents have one.
    """
    found = list(_existing_files(parents.values(), names))
    if len(found) != 1:
        names_text = " or ".join(names)
        raise ConfigFailure(f"after: {len(found)} of the parent jobs left {names_text}; name the one stage that does")
    return found[0]


def find_optional_upstream_file(parents: Mapping[str, Path], name: str) -> Path | None:
    """Return the file as `find_upstream_file` does, or None if no parent has one."""
    return find_upstream_file(parents, name) if any(_existing_files(parents.values(), [name])) else None


def _existing_files(folders: Iterable[Path], names: Iterable[str]) -> Iterable[Path]:
    names = list(names)
    return (folder / name for folder in folders for name in names if (folder / name).is_file())
