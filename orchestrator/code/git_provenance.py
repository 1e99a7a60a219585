"""What git records of source files: their commit, and what has changed since."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from seedfold.orchestrator.code.source_files import SourceFiles

_GIT_TIMEOUT_S = 20.0


PROVENANCE_FOLDER = ".provenance"
"""The file in a project sent from another machine that records what git knew of it on that machine."""
_RECORDS_FILE = "git.json"


def provenance_files(sources: SourceFiles) -> dict[str, bytes]:
    """The files to add to a project that is sent to another machine, by name: the result of `save_provenance` here."""
    with tempfile.TemporaryDirectory() as folder:
        records = save_provenance(sources, Path(folder))
        diffs = {f"{PROVENANCE_FOLDER}/{file.name}": file.read_bytes() for file in Path(folder).iterdir()}
    return {f"{PROVENANCE_FOLDER}/{_RECORDS_FILE}": json.dumps(records).encode(), **diffs} if records else {}


def copy_provenance(project: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the record that was sent with the project in ``project``, and copy its differences to ``folder``.

    Empty if there is none.
    """
    try:
        records: list[dict[str, Any]] = json.loads(
            (project / PROVENANCE_FOLDER / _RECORDS_FILE).read_text(encoding="utf-8")
        )
    except FileNotFoundError:
        return []
    for file in (project / PROVENANCE_FOLDER).glob("*.diff"):
        shutil.copyfile(file, folder / f"sent-{file.name}")
    return [{**record, "diff": f"sent-{record['diff']}"} if "diff" in record else record for record in records]


def save_provenance(sources: SourceFiles, folder: Path) -> list[dict[str, Any]]:
    """Return, for each repository that the source files belong to, its commit and whether the files differ from it.

    The differences are saved in ``folder`` as ``NAME.diff``. Without git the result is empty.
    """
    records: list[dict[str, Any]] = []
    for repository, folders in _group_by_repository(sources).items():
        commit = _git_output(repository, "rev-parse", "HEAD")
        status = _git_output(repository, "status", "--porcelain", "--", *folders)
        if commit is None or status is None:
            continue
        record = {"repository": str(repository), "commit": commit.strip(), "changed": bool(status.strip())}
        changes = _git_output(repository, "diff", "HEAD", "--", *folders) if status.strip() else None
        if changes:
            file = folder / f"{len(records)}-{repository.name}.diff"
            file.write_text(changes, encoding="utf-8", errors="surrogateescape")
            record["diff"] = file.name
        records.append(record)
    return records


def _group_by_repository(sources: SourceFiles) -> dict[Path, list[str]]:
    """The folders of the source files, with links resolved, by the top folder of their repository.

    Inner folders are left out.
    """
    paths = [source.path for source in sources.files.values()]
    # Links are resolved once a folder, and once more for a file that is a link itself.
    found = {path.parent if not path.is_symlink() else path.resolve().parent for path in paths}
    folders = {os.path.realpath(folder) for folder in found}
    folders_of_repository: dict[Path, list[str]] = {}
    for folder in sorted(folders):
        top = _find_repository(Path(folder))
        if top is not None and not any(
            Path(folder).is_relative_to(outer) for outer in folders_of_repository.get(top, ())
        ):
            folders_of_repository.setdefault(top, []).append(folder)
    return folders_of_repository


def _find_repository(folder: Path) -> Path | None:
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), None)


def _git_output(repository: Path, *arguments: str) -> str | None:
    """What git prints; None if git is missing or fails."""
    command = ["git", "--no-optional-locks", "-C", str(repository), *arguments]
    try:
        process = subprocess.run(
            command, capture_output=True, timeout=_GIT_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.decode(errors="surrogateescape") if process.returncode == 0 else None
