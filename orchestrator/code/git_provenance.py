"""What git knows of source files: the commit that they come from, and what was changed since."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from seedfold.orchestrator.code.source_files import Sources

_PATIENCE_S = 20.0


BROUGHT = ".provenance"
"""Where a project that was sent from another machine says what git knew of it there."""
_RECORDS = "git.json"


def describe_provenance(sources: Sources) -> dict[str, bytes]:
    """What to put into a project that is sent elsewhere, by name: what `save_provenance` says here."""
    with tempfile.TemporaryDirectory() as folder:
        records = save_provenance(sources, Path(folder))
        diffs = {f"{BROUGHT}/{file.name}": file.read_bytes() for file in Path(folder).iterdir()}
    return {f"{BROUGHT}/{_RECORDS}": json.dumps(records).encode(), **diffs} if records else {}


def copy_provenance(project: Path, folder: Path) -> list[dict[str, Any]]:
    """Return what a project in ``project`` brought along, with the differences in ``folder``; nothing if it did not."""
    try:
        records: list[dict[str, Any]] = json.loads((project / BROUGHT / _RECORDS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    for file in (project / BROUGHT).glob("*.diff"):
        shutil.copyfile(file, folder / f"sent-{file.name}")
    return [{**one, "diff": f"sent-{one['diff']}"} if "diff" in one else one for one in records]


def save_provenance(sources: Sources, folder: Path) -> list[dict[str, Any]]:
    """Return, for each repository that the sources come from, its commit and whether they differ from it.

    The differences are saved in ``folder`` as ``NAME.diff``. Where there is no git, nothing is said.
    """
    records: list[dict[str, Any]] = []
    for repository, places in _by_repository(sources).items():
        commit = _git(repository, "rev-parse", "HEAD")
        status = _git(repository, "status", "--porcelain", "--", *places)
        if commit is None or status is None:
            continue
        record = {"repository": str(repository), "commit": commit.strip(), "changed": bool(status.strip())}
        changes = _git(repository, "diff", "HEAD", "--", *places) if status.strip() else None
        if changes:
            file = folder / f"{len(records)}-{repository.name}.diff"
            file.write_text(changes, encoding="utf-8", errors="surrogateescape")
            record["diff"] = file.name
        records.append(record)
    return records


def _by_repository(sources: Sources) -> dict[Path, list[str]]:
    """The folders that sources really lie in, by the top of the repository around them; the inner ones left out."""
    folders = {os.path.dirname(os.path.realpath(source.place)) for source in sources.files.values()}  # noqa: PTH120
    found: dict[Path, list[str]] = {}
    for folder in sorted(folders):
        top = _top(Path(folder))
        if top is not None and not any(Path(folder).is_relative_to(outer) for outer in found.get(top, ())):
            found.setdefault(top, []).append(folder)
    return found


def _top(folder: Path) -> Path | None:
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), None)


def _git(repository: Path, *words: str) -> str | None:
    """What git prints; None if it cannot say."""
    command = ["git", "--no-optional-locks", "-C", str(repository), *words]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.decode(errors="surrogateescape") if ended.returncode == 0 else None
