"""The project store: the projects that were sent here, under the root.

``.projects/DIGEST/`` is one project as it was, and ``.projects/files/`` has each content once. Nothing in them is ever
changed; a missing file is sent again.
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
"""The digests of files, by name."""


@dataclass(frozen=True)
class ProjectStore:
    """The projects under a root."""

    root: Root

    def project_folder(self, table: DigestTable) -> Path:
        """The folder of a project, which need not exist. Raises UsageError for a file name that leads out of it."""
        for name in table:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise UsageError(f"{name}: this path is outside of the project")
        text = json.dumps(dict(sorted(table.items())))
        return self.root.path / _FOLDER / hashlib.sha256(text.encode()).hexdigest()[:16]

    def missing_digests(self, table: DigestTable) -> list[str]:
        """The digests of contents that have to be sent."""
        folder = self.project_folder(table)
        absent_digests = {digest for name, digest in table.items() if not (folder / name).exists()}
        return sorted(digest for digest in absent_digests if not self._content_path(digest).exists())

    def add_content(self, digest: str, data: Iterable[bytes]) -> None:
        """Store a content. Raises UsageError if it does not have the announced digest."""
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
                raise UsageError(f"{digest}: the content changed during the transfer; try again")
            temporary.replace(content)
        finally:
            temporary.unlink(missing_ok=True)

    def create_project(self, table: DigestTable) -> Path:
        """Create the complete folder of a project, and return it."""
        folder = self.project_folder(table)
        for name, digest in table.items():
            if not (folder / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(self._content_path(digest), folder / name)
        return folder

    def _content_path(self, digest: str) -> Path:
        return self.root.path / _FOLDER / "files" / digest[:2] / digest


def _link_or_copy(content: Path, path: Path) -> None:
    """Link a content under one more name; copy it if links are not allowed, as for files of other users."""
    try:
        os.link(content, path)
    except FileExistsError:
        return
    except OSError:
        with replace_file(path) as temporary:
            shutil.copy(content, temporary)


def refuse_absent_data(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise UsageError if a project that was sent here expects data in its folder, because data is not sent."""
    if folder.parent.name != _FOLDER:
        return
    for key, data_path in (settings.get("paths") or {}).items():
        if isinstance(data_path, str) and Path(data_path).is_relative_to(folder) and not Path(data_path).exists():
            raise UsageError(
                f"paths.{key}: {Path(data_path).relative_to(folder)} is in the project's folder, and"
                f" data is not sent; set the path of the data on {os.uname().nodename}, paths.{key}=/…"
            )
