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
from seedfold.results.store.atomic_files import replace_file

_FOLDER = ".projects"
DigestTable = Mapping[str, str]
"""Digests by the names of files."""


@dataclass(frozen=True)
class ProjectStore:
    """The projects under a root."""

    root: Root

    def project_folder(self, table: DigestTable) -> Path:
        """Where a project lies, or will. Raises UsageError for a name that leads out of it."""
        for name in table:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise UsageError(f"{name}: leads out of the project")
        text = json.dumps(dict(sorted(table.items())))
        return self.root.path / _FOLDER / hashlib.sha256(text.encode()).hexdigest()[:16]

    def missing_digests(self, table: DigestTable) -> list[str]:
        """The contents that have to be sent."""
        folder = self.project_folder(table)
        absent_digests = {digest for name, digest in table.items() if not (folder / name).exists()}
        return sorted(digest for digest in absent_digests if not self._content_path(digest).exists())

    def add_content(self, digest: str, data: Iterable[bytes]) -> None:
        """Keep a content. Raises UsageError if it is not the one that was announced."""
        content = self._content_path(digest)
        content.parent.mkdir(parents=True, exist_ok=True)
        temporary = content.with_name(f".{content.name}.{os.urandom(6).hex()}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o555 if digest.endswith("x") else 0o444)
        hasher = hashlib.sha256()
        try:
            with os.fdopen(handle, "wb") as file:
                for piece in data:
                    file.write(piece)
                    hasher.update(piece)
                file.flush()
                os.fsync(handle)
            if hasher.hexdigest() != digest.rstrip("x"):
                raise UsageError(f"{digest}: changed on its way; try again")
            temporary.replace(content)
        finally:
            temporary.unlink(missing_ok=True)

    def create_project(self, table: DigestTable) -> Path:
        """Have a project lie there whole, and return its folder."""
        folder = self.project_folder(table)
        for name, digest in table.items():
            if not (folder / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(self._content_path(digest), folder / name)
        return folder

    def _content_path(self, digest: str) -> Path:
        return self.root.path / _FOLDER / "files" / digest[:2] / digest


def _link_or_copy(content: Path, path: Path) -> None:
    """Give a content one more name; where that is not allowed, as for files of others, a copy."""
    try:
        os.link(content, path)
    except FileExistsError:
        return
    except OSError:
        with replace_file(path) as temporary:
            shutil.copy(content, temporary)


def refuse_absent_data(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise UsageError where a project that was sent here asks for data beside it, which was not."""
    if folder.parent.name != _FOLDER:
        return
    for key, data_path in (settings.get("paths") or {}).items():
        if isinstance(data_path, str) and Path(data_path).is_relative_to(folder) and not Path(data_path).exists():
            raise UsageError(
                f"paths.{key}: {Path(data_path).relative_to(folder)} lies beside the project, and data is not sent;"
                f" name its place on {os.uname().nodename}, paths.{key}=/…"
            )
