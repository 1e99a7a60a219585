"""Projects that were sent here, under the root: ``.projects/DIGEST/`` is one as it was, ``.projects/files/`` holds each
content once. Nothing in them is ever changed; a file that has gone is sent again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.layout import Root
from seedfold.results.store.atomic_files import replacing

_FOLDER = ".projects"
Table = Mapping[str, str]
"""Digests by the names of files."""


@dataclass(frozen=True)
class Shelf:
    """The projects under a root."""

    root: Root

    def folder(self, table: Table) -> Path:
        """Where a project lies, or will. Raises UsageError for a name that leads out of it."""
        for name in table:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise UsageError(f"{name}: leads out of the project")
        text = json.dumps(dict(sorted(table.items())))
        return self.root.path / _FOLDER / hashlib.sha256(text.encode()).hexdigest()[:16]

    def missing(self, table: Table) -> list[str]:
        """The contents that have to be sent."""
        folder = self.folder(table)
        absent = {digest for name, digest in table.items() if not (folder / name).exists()}
        return sorted(digest for digest in absent if not self._content(digest).exists())

    def put(self, digest: str, data: Iterable[bytes]) -> None:
        """Keep a content. Raises UsageError if it is not the one that was announced."""
        content = self._content(digest)
        content.parent.mkdir(parents=True, exist_ok=True)
        beside = content.with_name(f".{content.name}.{os.urandom(6).hex()}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o555 if digest.endswith("x") else 0o444)
        found = hashlib.sha256()
        try:
            with os.fdopen(handle, "wb") as file:
                for piece in data:
                    file.write(piece)
                    found.update(piece)
                file.flush()
                os.fsync(handle)
            if found.hexdigest() != digest.rstrip("x"):
                raise UsageError(f"{digest}: changed on its way; try again")
            beside.replace(content)
        finally:
            beside.unlink(missing_ok=True)

    def lay_out(self, table: Table) -> Path:
        """Have a project lie there whole, and return its folder."""
        folder = self.folder(table)
        for name, digest in table.items():
            if not (folder / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                _link(self._content(digest), folder / name)
        return folder

    def _content(self, digest: str) -> Path:
        return self.root.path / _FOLDER / "files" / digest[:2] / digest


def _link(content: Path, file: Path) -> None:
    """Give a content one more name; where that is not allowed, as for files of others, a copy."""
    try:
        os.link(content, file)
    except FileExistsError:
        return
    except OSError:
        with replacing(file) as beside:
            shutil.copy(content, beside)


def refuse_absent_data(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise UsageError where a project that was sent here asks for data beside it, which was not."""
    if folder.parent.name != _FOLDER:
        return
    for key, place in (settings.get("paths") or {}).items():
        if isinstance(place, str) and Path(place).is_relative_to(folder) and not Path(place).exists():
            raise UsageError(
                f"paths.{key}: {Path(place).relative_to(folder)} is a place beside the project, and data is not sent;"
                f" name its place on {os.uname().nodename}, paths.{key}=/…"
            )
