"""The modules of the snapshot of the code, in the process of a job of somebody else's program."""

from __future__ import annotations

import filecmp
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from seedfold.jobs.work import SNAPSHOT_RECORD

_log = logging.getLogger(__name__)
_OWN_PACKAGE = "seedfold"


def find_snapshot_modules() -> Path | None:
    """Return the folder of modules of the snapshot that this process runs; None if it runs the code as it is."""
    folders = (Path(entry) for entry in sys.path if entry)
    return next((folder for folder in folders if (folder.parent / SNAPSHOT_RECORD).is_file()), None)


class _SnapshotFinder:
    """Looks for top-level modules in the snapshot first, wherever the program puts its own folders in ``sys.path``."""

    def __init__(self, modules: Path) -> None:
        self._modules = str(modules)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder.find_spec`."""
        return None if path is not None else PathFinder.find_spec(name, [self._modules, *sys.path], target)


def prefer_snapshot() -> None:
    """Import from the snapshot of the code first, from now on."""
    modules = find_snapshot_modules()
    if modules is None or any(isinstance(finder, _SnapshotFinder) for finder in sys.meta_path):
        return
    place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
    sys.meta_path.insert(place, _SnapshotFinder(modules))


def is_as_launched(program: Mapping[str, Any], code_file: Path) -> bool:
    """Whether the main module and what has been imported from the snapshot are still what the program's folders hold.

    Processes that the program starts from its own files run the same code then.
    """
    pairs = [(code_file, Path(program["main_file"])), *_copies_and_originals(program["path"])]
    try:
        return all(filecmp.cmp(copy, original, shallow=False) for copy, original in pairs)
    except FileNotFoundError:
        return False


def _copies_and_originals(folders: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    modules = find_snapshot_modules()
    for module in list(sys.modules.values()) if modules is not None else ():
        file = getattr(module, "__file__", None)
        if file is None or modules is None or not file.startswith(f"{modules}/"):
            continue
        name = Path(file).relative_to(modules)
        if name.parts[0] != _OWN_PACKAGE:
            yield Path(file), _original_of(name, folders)


def _original_of(name: Path, folders: Sequence[str]) -> Path:
    """Where a file of the snapshot belongs in the program's own folders."""
    places = [Path(folder, name) for folder in folders]
    return next((place for place in places if place.exists()), None) or next(
        (place for place in places if place.parent.is_dir()), places[0]
    )


def hand_over_new_files(folders: Sequence[str]) -> None:
    """Copy files that were written beside modules of the snapshot to where the modules come from, and log them.

    They stay in the snapshot as well, where later jobs look for them.
    """
    modules = find_snapshot_modules()
    for file in _new_files(modules) if modules is not None and folders else ():
        place = _original_of(file.relative_to(modules), folders)  # type: ignore[arg-type]
        try:
            if place.exists() and place.stat().st_mtime_ns >= file.stat().st_mtime_ns:
                continue
            temporary = place.with_name(f".{place.name}.{os.getpid()}")
            shutil.copy2(file, temporary)
            temporary.rename(place)
        except OSError as error:
            _log.warning("%s: the program left this file; it cannot be copied to %s: %s", file, place, error.strerror)
        else:
            _log.info("%s: written by the program beside its code", place)


def _new_files(modules: Path) -> Iterator[Path]:
    known = json.loads((modules.parent / SNAPSHOT_RECORD).read_text(encoding="utf-8"))["files"]
    for folder, inner_folders, names in os.walk(modules):
        inner_folders[:] = [name for name in inner_folders if name not in ("__pycache__", _OWN_PACKAGE)]
        for name in names:
            file = Path(folder, name)
            is_known = str(file.relative_to(modules)) in known or file.is_symlink()
            if not is_known and not name.startswith(".new-") and not name.endswith((".py", ".pyc")):
                yield file
