"""The source files that jobs import and that do not come with an installation: a user's own packages, and Seedfold's.

Named are the top-level modules that jobs mention, and, from those found, what they import in turn. A package is taken
whole. Its code and small files count with their content; large files, compiled modules and folders full of data are
pointed to where they lie, and never walked through. Hidden files, caches and results are no part of it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from itertools import islice
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.shared_config import SharedConfig
from seedfold.orchestrator.code.digests import is_installed
from seedfold.orchestrator.ledger.layout import MARK

_OWN = "seedfold"
_PLUGINS = "hydra_plugins"
"""Configurations name them; jobs have no use for them."""
_LARGE = 1_000_000
_CROWD = 200
_MOST_FILES, _MOST_BYTES = 5_000, 100_000_000
_CODE = (".py", ".pyi")
_COMPILED = (".so", ".pyd")
_LEFT_OUT = ("__pycache__", "node_modules")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([\w \t.,]+))", re.MULTILINE)
_PLAIN = frozenset({bool, int, float, type(None)})
_SEARCHED_BY_PATH = (BuiltinImporter, FrozenImporter, PathFinder)


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was when it was read; without ``content``, a file or folder that is only pointed to."""

    place: Path
    content: bytes | None = None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """Files by their name below an import root, such as ``lab/networks.py``.

    ``roots`` are the folders that those of the user are imported from, ``left_out`` the packages that are too large.
    """

    files: dict[str, Source]
    roots: tuple[Path, ...]
    left_out: tuple[str, ...]


def named_modules(jobs: Iterable[JobDescription]) -> set[str]:
    """Return the top-level names of all that could be a module, class or function in descriptions of jobs."""
    found, seen = set[str](), dict[int, object]()
    for job in jobs:
        found.add(job.run.partition(".")[0])
        # Thousands of points share all of a configuration but a few values.
        config = job.config
        _collect([config.layout.base, config.own] if isinstance(config, SharedConfig) else config, found, seen)
    return found


def _collect(value: Any, found: set[str], seen: dict[int, object]) -> None:
    """Look through a value; what jobs share is looked through once, and held so that its number stays its own."""
    if type(value) in _PLAIN or id(value) in seen:
        return
    if isinstance(value, str):
        if _DOTTED.fullmatch(value):
            found.add(value.partition(".")[0])
    elif isinstance(value, Mapping | list | tuple):
        seen[id(value)] = value
        for inner in value.values() if isinstance(value, Mapping) else value:
            _collect(inner, found, seen)


def program_folders(jobs: Iterable[JobDescription]) -> list[str]:
    """Return the folders that programs which are not ours were launched from, and imported modules from."""
    programs = (job.config["hydra"]["program"] for job in jobs if "hydra" in job.config)
    return list(dict.fromkeys(folder for program in programs for folder in program["path"]))


def find_sources(names: Iterable[str], folder: Path, further: Iterable[str] = ()) -> Sources:
    """Read the modules of these names, and those that they import, as jobs launched in ``folder`` would find them.

    ``further`` are folders in which they look last.
    """
    path = [*_search_path(folder), *further]
    files: dict[str, Source] = {}
    roots: dict[Path, None] = {}
    left_out: list[str] = []
    waiting, known = [_OWN, *sorted(names)], {_PLUGINS}
    while waiting:
        name = waiting.pop()
        if name in known or name in sys.stdlib_module_names:
            continue
        known.add(name)
        places = _places(name, path) or []
        found = _read_package(name, places)
        if found is None:
            left_out.append(name)
        elif any(file.endswith((*_CODE, *_COMPILED)) for file in found):
            files |= found
            if name != _OWN:
                roots |= dict.fromkeys(place.parent for place in places)
                waiting.extend(_imported(found))
    return Sources(dict(sorted(files.items())), tuple(roots), tuple(sorted(left_out)))


def _search_path(folder: Path) -> list[str]:
    """Where a job would look: in its folder, then where this process does, save the folder that it happens to be in."""
    here = str(Path.cwd())
    asked = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [str(folder), *(entry for entry in sys.path if entry and (entry != here or here in asked))]


def module_places(name: str, folder: Path) -> list[Path] | None:
    """Return the file or the folders of a top-level module, as jobs launched in ``folder`` would find it.

    There are none where the module is installed; None says that there is no such module.
    """
    return _places(name, _search_path(folder))


def _places(name: str, path: list[str]) -> list[Path] | None:
    spec = PathFinder.find_spec(name, path) or _found_otherwise(name)
    if spec is None:
        return None
    places = spec.submodule_search_locations if spec.submodule_search_locations is not None else [spec.origin or ""]
    return [Path(place) for place in places if place and not is_installed(place)]


def _found_otherwise(name: str) -> ModuleSpec | None:
    """Ask the finders that editable installations bring along."""
    finders = (finder for finder in sys.meta_path if finder not in _SEARCHED_BY_PATH)
    return next(filter(None, (finder.find_spec(name, None) for finder in finders)), None)


def _imported(files: dict[str, Source]) -> set[str]:
    """The top-level names of all that these files import, in functions as well."""
    names = set[str]()
    for source in files.values():
        if source.content is not None and source.place.suffix == ".py":
            for module, modules in _IMPORT.findall(source.content):
                listed = [module] if module else modules.split(b",")
                names.update(one.strip().partition(b" ")[0].partition(b".")[0].decode() for one in listed)
    return names - {""}


def _read_package(name: str, places: Iterable[Path]) -> dict[str, Source] | None:
    """Read a module or package whole; None if it is too large for that."""
    files: dict[str, Source] = {}
    size = 0
    for place in places:
        for file, source in _read_folder(place, name, frozenset()) if place.is_dir() else _read_module(place, name):
            files[file] = source
            size += len(source.content or b"")
            if len(files) > _MOST_FILES or size > _MOST_BYTES:
                return None
    return files


def _read_module(place: Path, name: str) -> Iterator[tuple[str, Source]]:
    source = _read_file(place)
    if source is not None:
        yield name + "".join(place.suffixes), source


def _read_folder(folder: Path, name: str, above: frozenset[str]) -> Iterator[tuple[str, Source]]:
    """All files below a folder; only the folder itself where it holds data rather than code."""
    real = os.path.realpath(folder)
    try:
        entries = _list_folder(folder)
    except PermissionError:
        entries = None
    if entries is None:
        yield name, Source(folder)
        return
    if real in above or any(entry.name == MARK for entry in entries):
        return
    crowded = sum(not entry.name.endswith(_CODE) for entry in entries) > _CROWD
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _LEFT_OUT or entry.name.endswith((".pyc", ".egg-info")):
            continue
        inner, place = f"{name}/{entry.name}", Path(entry.path)
        if entry.is_dir():
            yield from _read_folder(place, inner, above | {real})
        elif entry.is_file():
            pointed = crowded and not entry.name.endswith(_CODE)
            source = Source(place) if pointed else _read_file(place)
            if source is not None:
                yield inner, source


def _list_folder(folder: Path) -> list[os.DirEntry[str]] | None:
    """The entries by name; None for a folder of data: it holds no code, and is crowded, or a link to elsewhere."""
    with os.scandir(folder) as listing:
        first = list(islice(listing, _CROWD + 1))
        code = any(entry.name.endswith(_CODE) for entry in first)
        if not code and (len(first) > _CROWD or folder.is_symlink()):
            return None
        return sorted([*first, *listing], key=lambda entry: entry.name)


def _read_file(place: Path) -> Source | None:
    """Read a file, or point to it; None if it has gone meanwhile."""
    try:
        with place.open("rb") as file:
            status = os.fstat(file.fileno())
            if place.suffix in _COMPILED or (status.st_size > _LARGE and place.suffix not in _CODE):
                return Source(place)
            return Source(place, file.read(), bool(status.st_mode & 0o100))
    except PermissionError:
        return Source(place)
    except (FileNotFoundError, NotADirectoryError):
        return None
