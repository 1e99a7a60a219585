"""Which files a result depends on, by their content and not by their path.

A file under one of the configured ``paths`` is recorded with the name of that path, so that results stay valid when the
data is moved as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from seedfold.jobs.locations import locate
from seedfold.orchestrator.code.digests import digest_file


class FileRead(TypedDict):
    """A file as it was when it was read: the digest of its content, its size in bytes, its modification time in ns."""

    digest: str
    bytes: int
    mtime_ns: int


FileReads = dict[str, FileRead]
"""By the label of the file, such as ``${paths.data}/labels.csv``."""


def _base_folders(config: Mapping[str, Any]) -> dict[str, Path]:
    paths = config.get("paths") or {}
    return {key: locate(value) for key, value in paths.items() if isinstance(value, str)}


class ReadRecorder:
    """Records the files that a job reads."""

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
    """Return the first file whose content has changed since it was read; None if there is none.

    A missing file does not count as changed, because a plan can be made on a machine without the data. The content is
    read only if the size or the time differs.
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
