"""What of a project goes to the other side: code, configuration and tables, by content; data never.

Modules and packages are those that a snapshot of the code would hold (see `seedfold.orchestrator.code.source_files`),
laid out by import name, and the user's folders of configuration and tables keep their places, so that over there the
folder stands for the one here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.code.git_provenance import describe_provenance
from seedfold.orchestrator.code.source_files import Source, find_sources, named_modules

_OWN = "seedfold"
_OUTSIDE = "conf.outside"


@dataclass(frozen=True)
class Project:
    """Files by their names there, each with its content; what was left out; the names of ``config_dirs`` there."""

    files: Mapping[str, Source]
    left_out: tuple[str, ...] = ()
    config_dirs: tuple[str, ...] = ()


def gather(overrides: Sequence[str], config_dirs: Sequence[Path], folder: Path) -> Project:
    """Compose a study as `launch` in ``folder`` would, and gather what it needs. Raises UsageError as that does."""
    from seedfold.jobs.study import load_study

    study = load_study(overrides, config_dirs=config_dirs, folder=folder)
    names = _places(config_dirs, folder)
    code = gather_code(named_modules(study.jobs()), folder)
    texts = {**dict(_configuration(names)), **dict(_tables(study.tables, names, folder))}
    return Project({**code.files, **texts}, code.left_out, tuple(names.values()))


def gather_code(modules: Iterable[str], folder: Path) -> Project:
    """Gather the modules of these names, and what they import, as a job launched in ``folder`` would find them."""
    sources = find_sources(modules, folder)
    own = {name: file for name, file in sources.files.items() if name.partition("/")[0] != _OWN}
    whole = {name: file for name, file in own.items() if file.content is not None}
    git = describe_provenance(replace(sources, files=own)) if own else {}
    told = {name: Source(folder / name, content) for name, content in git.items()}
    return Project({**whole, **told}, (*sources.left_out, *sorted(own.keys() - whole.keys())))


def digest(source: Source) -> str:
    """Name a content: its SHA-256, and whether it may be executed."""
    assert source.content is not None
    return hashlib.sha256(source.content).hexdigest() + ("x" if source.executable else "")


def _places(config_dirs: Iterable[Path], folder: Path) -> dict[Path, str]:
    """Where folders of configuration lie there: at the same place below the project's folder, or beside it."""
    inside = {path: path.relative_to(folder).as_posix() for path in config_dirs if path.is_relative_to(folder)}
    return {path: inside.get(path, f"{_OUTSIDE}/{n}/{path.name}") for n, path in enumerate(config_dirs)}


def _configuration(places: Mapping[Path, str]) -> Iterator[tuple[str, Source]]:
    for folder, place in places.items():
        for file in sorted(folder.rglob("*.yaml")):
            name = file.relative_to(folder).as_posix()
            yield f"{place}/{name}" if place != "." else name, Source(file, file.read_bytes())


def _tables(tables: Iterable[Path], places: Mapping[Path, str], folder: Path) -> Iterator[tuple[str, Source]]:
    for file in tables:
        yield _table_place(file, places, folder), Source(file, file.read_bytes())


def _table_place(file: Path, places: Mapping[Path, str], folder: Path) -> str:
    homes = {**places, folder: "."}
    if ".." not in file.parts:
        for home, place in homes.items():
            if file.is_relative_to(home):
                return (Path(place) / file.relative_to(home)).as_posix()
    raise UsageError(f"table {file}: lies outside of {folder}, which is what goes to the login host; move it inside")
