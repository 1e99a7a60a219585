"""Which files a result depends on, by content and not by place.

A file under one of the configured ``paths`` is recorded by the name of that path, so that data which moved as a whole
is still the same data.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from seedfold.jobs.locations import locate
from seedfold.orchestrator.code.digests import digest_file


class FileRead(TypedDict):
    """What a file was when it was read: digest of its content, size in bytes, time of its last change in ns."""

    digest: str
    bytes: int
    mtime_ns: int


FileReads = dict[str, FileRead]
"""By the label of the file, such as ``${paths.data}/labels.csv``."""


def _base_folders(config: Mapping[str, Any]) -> dict[str, Path]:
    paths = config.get("paths") or {}
    return {key: locate(value) for key, value in paths.items() if isinstance(value, str)}


class ReadRecorder:
    """Collects what a job reads."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._base_folders = _base_folders(config)
        self.reads: FileReads = {}

    def __call__(self, path: Path) -> None:
        """Record one file, with its content as it is now."""
        path = path.absolute()
        status = path.stat()
        self.reads[self._label_of(path)] = FileRead(
            digest=digest_file(path), bytes=status.st_size, mtime_ns=status.st_mtime_ns
        )

    def _label_of(self, path: Path) -> str:
        for key, base in self._base_folders.items():
            if path.is_relative_to(base.absolute()):
                return f"${{paths.{key}}}/{path.relative_to(base.absolute())}"
        return str(path)


def find_changed_file(reads: Mapping[str, FileRead], config: Mapping[str, Any]) -> str | None:
    """Name the first file whose content is not what was read; None if there is none.

    A file that is not here is no evidence of a change: a plan can be made where the data is not. Content is looked at
    only where size or time differ.
    """
    bases = _base_folders(config)
    for label, read in reads.items():
        path = _path_of_label(label, bases)
        if path is not None and path.exists() and _has_changed(path, read):
            return label
    return None


def _has_changed(path: Path, read: FileRead) -> bool:
    status = path.stat()
    if status.st_size != read["bytes"]:
        return True
    return status.st_mtime_ns != read["mtime_ns"] and digest_file(path) != read["digest"]


def _path_of_label(label: str, bases: Mapping[str, Path]) -> Path | None:
    if not label.startswith("${paths."):
        return Path(label)
    key, _, rest = label.removeprefix("${paths.").partition("}/")
    return bases[key] / rest if key in bases else None
