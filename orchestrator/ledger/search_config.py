"""The configuration files with which a search was launched: it goes on with them while a person edits the originals."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from seedfold.orchestrator.ledger.layout import StudyFolder

_KEPT = frozenset({".yaml", ".yml", ".csv"})


def keep_config(study: StudyFolder, folders: Iterable[Path]) -> tuple[str, ...]:
    """Copy configuration folders to where the search is; return the places of the copies inside the study.

    Equal files are copied once, whole or not at all.
    """
    return tuple(_keep(study, folder.absolute()) for folder in folders)


def _keep(study: StudyFolder, folder: Path) -> str:
    files = dict(_read_files(folder))
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    place = f"search/conf/{digest.hexdigest()[:16]}"
    target = study.path / place
    if not target.is_dir():
        _write_files(target, files)
    return place


def _read_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _KEPT and path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _write_files(target: Path, files: dict[str, bytes]) -> None:
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}")
    temporary.mkdir(parents=True)
    for name, content in files.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).write_bytes(content)
    try:
        temporary.rename(target)
    except OSError:
        # Another launch has made the same copy.
        shutil.rmtree(temporary)
        if not target.is_dir():
            raise
