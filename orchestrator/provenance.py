"""What git knows of source files: the commit that they come from, and what was changed since."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from seedfold.orchestrator.sources import Sources

_PATIENCE_S = 20.0


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
