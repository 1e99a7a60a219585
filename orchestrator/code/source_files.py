"""The source files that jobs import and that are not installed: the user's own packages, and Seedfold's.

The search begins with the top-level modules that jobs name, and follows their imports. A package is always read whole.
Its code and small files are read with their content. For large files, compiled modules and folders full of data only
the path is recorded, and such folders are not searched. Hidden files, caches and results are left out.
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
from seedfold.orchestrator.ledger.layout import ROOT_MARK

_OWN_PACKAGE = "seedfold"
_PLUGIN_PACKAGE = "hydra_plugins"
"""Modules that configurations name and that jobs do not need."""
_MAX_FILE_BYTES = 1_000_000
_MAX_DATA_FILES = 200
_MAX_PACKAGE_FILES, _MAX_PACKAGE_BYTES = 5_000, 100_000_000
_CODE_SUFFIXES = (".py", ".pyi")
_COMPILED_SUFFIXES = (".so", ".pyd")
_IGNORED_NAMES = ("__pycache__", "node_modules")
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_IMPORT_STATEMENT = re.compile(rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([\w \t.,]+))", re.MULTILINE)
_SCALAR_TYPES = frozenset({bool, int, float, type(None)})
_STANDARD_FINDERS = (BuiltinImporter, FrozenImporter, PathFinder)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was when it was read.

    Without ``content`` it is a file or folder of which only the path is recorded.
    """

    path: Path
    content: bytes | None = None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """Files by their name below an import root, such as ``lab/networks.py``.

    ``roots`` are the folders from which the user's modules are imported; ``left_out`` are the packages that are too
    large.
    """

    files: dict[str, SourceFile]
    import_roots: tuple[Path, ...]
    left_out_packages: tuple[str, ...]

    def joined_with(self, others: SourceFiles) -> SourceFiles:
        """Return these files and others; what both have is that of these."""
        return SourceFiles(
            dict(sorted({**others.files, **self.files}.items())),
            tuple(dict.fromkeys([*self.import_roots, *others.import_roots])),
            tuple(sorted({*self.left_out_packages, *others.left_out_packages})),
        )


def named_modules(jobs: Iterable[JobDescription]) -> set[str]:
    """Return the top-level names of all values in job descriptions that could be a module, class or function."""
    names, seen = set[str](), dict[int, object]()
    for job in jobs:
        names.add(job.run.partition(".")[0])
        # Thousands of points share all values of a configuration except a few.
        config = job.config
        _collect_names(
            [config.layout.base, config.own_values] if isinstance(config, SharedConfig) else config, names, seen
        )
    return names


def _collect_names(value: Any, names: set[str], seen: dict[int, object]) -> None:
    """Collect the names in a value.

    Values that jobs share are searched once, and kept alive so that their ids are not used again.
    """
    if type(value) in _SCALAR_TYPES or id(value) in seen:
        return
    if isinstance(value, str):
        if _DOTTED_NAME.fullmatch(value):
            names.add(value.partition(".")[0])
    elif isinstance(value, Mapping | list | tuple):
        seen[id(value)] = value
        for inner in value.values() if isinstance(value, Mapping) else value:
            if type(inner) not in _SCALAR_TYPES:
                _collect_names(inner, names, seen)


def program_folders(jobs: Iterable[JobDescription]) -> list[str]:
    """Return the folders from which other people's programs were launched and from which they imported modules."""
    programs = (job.config["hydra"]["program"] for job in jobs if "hydra" in job.config)
    return list(dict.fromkeys(folder for program in programs for folder in program["path"]))


def program_scripts(jobs: Iterable[JobDescription]) -> list[Path]:
    """Return the scripts that are the main modules of other people's programs."""
    programs = (job.config["hydra"]["program"] for job in jobs if "hydra" in job.config)
    scripts = (one["main_file"] for one in programs if one.get("main_file") and not one["main_module"])
    return [Path(script) for script in dict.fromkeys(scripts)]


def read_source_files(names: Iterable[str], folder: Path, extra_folders: Iterable[str] = ()) -> SourceFiles:
    """Read the modules with these names, and what they import, as jobs launched in ``folder`` would find them.

    ``extra_folders`` are searched last.
    """
    return _follow_imports([_OWN_PACKAGE, *sorted(names)], [*_search_path(folder), *extra_folders], {_PLUGIN_PACKAGE})


def read_named_files(
    paths: Mapping[str, Path], names: Iterable[str], folder: Path, extra_folders: Iterable[str] = ()
) -> SourceFiles:
    """Read files and folders by the names given, and the local modules that they import or that are in ``names``.

    Seedfold's own modules are left out.
    """
    files = {
        file: source
        for name, path in paths.items()
        for file, source in (_read_folder(path, name, frozenset()) if path.is_dir() else _named_file(path, name))
    }
    found = _follow_imports(
        [*names, *sorted(_imported_modules(files))],
        [*_search_path(folder), *extra_folders],
        {_PLUGIN_PACKAGE, _OWN_PACKAGE},
    )
    return SourceFiles(files, (folder,) if files else (), ()).joined_with(found)


def _named_file(path: Path, name: str) -> Iterator[tuple[str, SourceFile]]:
    source = _read_file(path)
    if source is not None:
        yield name, source


def _follow_imports(waiting: list[str], path: list[str], seen: set[str]) -> SourceFiles:
    """Read the modules that are ``waiting``, and what they import, except those already ``seen``."""
    files: dict[str, SourceFile] = {}
    roots: dict[Path, None] = {}
    left_out: list[str] = []
    while waiting:
        name = waiting.pop()
        if name in seen or name in sys.stdlib_module_names:
            continue
        seen.add(name)
        paths = _find_paths(name, path) or []
        package_files = _read_package(name, paths)
        if package_files is None:
            left_out.append(name)
        elif any(file.endswith((*_CODE_SUFFIXES, *_COMPILED_SUFFIXES)) for file in package_files):
            files |= package_files
            if name != _OWN_PACKAGE:
                roots |= dict.fromkeys(package_path.parent for package_path in paths)
                waiting.extend(_imported_modules(package_files))
    return SourceFiles(dict(sorted(files.items())), tuple(roots), tuple(sorted(left_out)))


def _search_path(folder: Path) -> list[str]:
    """The import path of a job: its folder, then the import path of this process without its current folder."""
    here = str(Path.cwd())
    python_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [str(folder), *(entry for entry in sys.path if entry and (entry != here or here in python_path))]


def find_module_paths(name: str, folder: Path, extra_folders: Iterable[str] = ()) -> list[Path] | None:
    """Return the file or the folders of a top-level module, as jobs launched in ``folder`` would find it.

    ``extra_folders`` are searched last. The result is empty for an installed module, and None if there is no such
    module.
    """
    return _find_paths(name, [*_search_path(folder), *extra_folders])


def _find_paths(name: str, search_path: list[str]) -> list[Path] | None:
    spec = PathFinder.find_spec(name, search_path) or _find_with_other_finders(name)
    if spec is None:
        return None
    locations = spec.submodule_search_locations if spec.submodule_search_locations is not None else [spec.origin or ""]
    return [Path(location) for location in locations if location and not is_installed(location)]


def _find_with_other_finders(name: str) -> ModuleSpec | None:
    """Ask the import finders of editable installations."""
    finders = (finder for finder in sys.meta_path if finder not in _STANDARD_FINDERS)
    return next(filter(None, (finder.find_spec(name, None) for finder in finders)), None)


def _imported_modules(files: dict[str, SourceFile]) -> set[str]:
    """The top-level names of all modules that these files import, also inside functions."""
    names = set[str]()
    for source in files.values():
        if source.content is not None and source.path.suffix == ".py":
            for module, modules in _IMPORT_STATEMENT.findall(source.content):
                listed = [module] if module else modules.split(b",")
                names.update(
                    imported_name.strip().partition(b" ")[0].partition(b".")[0].decode() for imported_name in listed
                )
    return names - {""}


def _read_package(name: str, paths: Iterable[Path]) -> dict[str, SourceFile] | None:
    """Read a whole module or package; None if it is too large."""
    files: dict[str, SourceFile] = {}
    size = 0
    for path in paths:
        for file, source in _read_folder(path, name, frozenset()) if path.is_dir() else _read_module(path, name):
            files[file] = source
            size += len(source.content or b"")
            if len(files) > _MAX_PACKAGE_FILES or size > _MAX_PACKAGE_BYTES:
                return None
    return files


def _read_module(path: Path, name: str) -> Iterator[tuple[str, SourceFile]]:
    source = _read_file(path)
    if source is not None:
        yield name + "".join(path.suffixes), source


def _read_folder(folder: Path, name: str, parent_folders: frozenset[str]) -> Iterator[tuple[str, SourceFile]]:
    """All files below a folder; only the folder itself if it holds data and no code."""
    real = os.path.realpath(folder)
    try:
        entries = _list_folder(folder)
    except PermissionError:
        entries = None
    if entries is None:
        yield name, SourceFile(folder)
        return
    if real in parent_folders or any(entry.name == ROOT_MARK for entry in entries):
        return
    crowded = sum(not entry.name.endswith(_CODE_SUFFIXES) for entry in entries) > _MAX_DATA_FILES
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _IGNORED_NAMES or entry.name.endswith((".pyc", ".egg-info")):
            continue
        inner, path = f"{name}/{entry.name}", Path(entry.path)
        if entry.is_dir():
            yield from _read_folder(path, inner, parent_folders | {real})
        elif entry.is_file():
            is_data = crowded and not entry.name.endswith(_CODE_SUFFIXES)
            source = SourceFile(path) if is_data else _read_file(path)
            if source is not None:
                yield inner, source


def _list_folder(folder: Path) -> list[os.DirEntry[str]] | None:
    """The entries by name; None for a folder of data: one without code that has very many entries or is a link."""
    with os.scandir(folder) as listing:
        first = list(islice(listing, _MAX_DATA_FILES + 1))
        code = any(entry.name.endswith(_CODE_SUFFIXES) for entry in first)
        if not code and (len(first) > _MAX_DATA_FILES or folder.is_symlink()):
            return None
        return sorted([*first, *listing], key=lambda entry: entry.name)


def _read_file(path: Path) -> SourceFile | None:
    """Read a file, or only record its path; None if it has been deleted meanwhile."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if path.suffix in _COMPILED_SUFFIXES or (
                status.st_size > _MAX_FILE_BYTES and path.suffix not in _CODE_SUFFIXES
            ):
                return SourceFile(path)
            return SourceFile(path, file.read(), bool(status.st_mode & 0o100))
    except PermissionError:
        return SourceFile(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
