"""What upstream stages left for a job, found by the name of the file and not of the stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from seedfold.jobs.work import ConfigFailure

SLICES_INDEX = "index.parquet"
"""The table of the slices in a folder, beside their files, where an upstream stage has left slices."""


def published(parents: Mapping[str, Path], *names: str) -> Path:
    """Return the only file of one of these names among the parents' results.

    Raises ConfigFailure where no parent has one, or several have.
    """
    found = list(_files(parents.values(), names))
    if len(found) != 1:
        wanted = " or ".join(names)
        raise ConfigFailure(f"after: {len(found)} of the parent jobs left {wanted}; name the one stage that does")
    return found[0]


def any_published(parents: Mapping[str, Path], name: str) -> Path | None:
    """Return the file as `published` does, or None where no parent has one."""
    return published(parents, name) if any(_files(parents.values(), [name])) else None


def _files(folders: Iterable[Path], names: Iterable[str]) -> Iterable[Path]:
    names = list(names)
    return (folder / name for folder in folders for name in names if (folder / name).is_file())
