"""The parts of a project that are sent to the login host: code, configuration and tables, by content; never data.

The modules and packages are those of a snapshot of the code (see `seedfold.orchestrator.code.source_files`), stored by
import name. The user's folders of configuration and tables keep their relative paths, so that the folder there can
replace the folder here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.code.command_files import read_job_code
from seedfold.orchestrator.code.git_provenance import provenance_files
from seedfold.orchestrator.code.source_files import SourceFile, SourceFiles, read_source_files

_OWN_PACKAGE = "seedfold"
_OUTSIDE_FOLDER = "conf.outside"


@dataclass(frozen=True)
class Project:
    """The files by their names on the host, with their content.

    The packages left out; the names of ``config_dirs`` there.
    """

    files: Mapping[str, SourceFile]
    left_out: tuple[str, ...] = ()
    config_dirs: tuple[str, ...] = ()


def gather_project(overrides: Sequence[str], config_dirs: Sequence[Path], folder: Path) -> Project:
    """Compose a study as `launch` in ``folder`` would, and collect the files that it needs.

    Raises UsageError as `launch` does.
    """
    from seedfold.jobs.study import load_study

    study = load_study(overrides, config_dirs=config_dirs, folder=folder)
    names_there = _names_there(config_dirs, folder)
    code = _make_project(read_job_code(study.jobs(), folder), folder)
    text_files = {**dict(_configuration_files(names_there)), **dict(_table_files(study.tables, names_there, folder))}
    return Project({**code.files, **text_files}, code.left_out, tuple(names_there.values()))


def gather_code(modules: Iterable[str], folder: Path) -> Project:
    """Collect the modules with these names, and what they import, as a job launched in ``folder`` would find them."""
    return _make_project(read_source_files(modules, folder), folder)


def _make_project(sources: SourceFiles, folder: Path) -> Project:
    own_files = {name: file for name, file in sources.files.items() if name.partition("/")[0] != _OWN_PACKAGE}
    readable_files = {name: file for name, file in own_files.items() if file.content is not None}
    git = provenance_files(replace(sources, files=own_files)) if own_files else {}
    git_files = {name: SourceFile(folder / name, content) for name, content in git.items()}
    return Project(
        {**readable_files, **git_files}, (*sources.left_out_packages, *sorted(own_files.keys() - readable_files.keys()))
    )


def content_digest(source: SourceFile) -> str:
    """The name of a content: its SHA-256, and whether the file is executable."""
    assert source.content is not None
    return hashlib.sha256(source.content).hexdigest() + ("x" if source.executable else "")


def _names_there(config_dirs: Iterable[Path], folder: Path) -> dict[Path, str]:
    """The paths of configuration folders on the host: the same path inside the project's folder, or next to it."""
    relative_names = {path: path.relative_to(folder).as_posix() for path in config_dirs if path.is_relative_to(folder)}
    return {path: relative_names.get(path, f"{_OUTSIDE_FOLDER}/{n}/{path.name}") for n, path in enumerate(config_dirs)}


def _configuration_files(names_there: Mapping[Path, str]) -> Iterator[tuple[str, SourceFile]]:
    for folder, folder_name in names_there.items():
        for file in sorted(folder.rglob("*.yaml")):
            name = file.relative_to(folder).as_posix()
            yield f"{folder_name}/{name}" if folder_name != "." else name, SourceFile(file, file.read_bytes())


def _table_files(
    tables: Iterable[Path], names_there: Mapping[Path, str], folder: Path
) -> Iterator[tuple[str, SourceFile]]:
    for file in tables:
        yield _table_name_there(file, names_there, folder), SourceFile(file, file.read_bytes())


def _table_name_there(file: Path, names_there: Mapping[Path, str], folder: Path) -> str:
    name_of_folder = {**names_there, folder: "."}
    if ".." not in file.parts:
        for project_folder, folder_name in name_of_folder.items():
            if file.is_relative_to(project_folder):
                return (Path(folder_name) / file.relative_to(project_folder)).as_posix()
    raise UsageError(
        f"table {file}: is outside of {folder}, and only this folder is sent to the login host; move the file into it"
    )
