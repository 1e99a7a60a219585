"""Whether the classes that a study names by ``_target_`` are there, before its jobs are started.

Nothing is imported: a login node need not have what jobs import, and it takes long. The files of a user's own modules,
and of Seedfold's, are read instead. What is installed is taken to hold what it is asked for.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.moved import current_name
from seedfold.jobs.patterns import Path as Key
from seedfold.jobs.shared_config import SharedConfig, strings
from seedfold.orchestrator.code.source_files import module_places

_TARGET = "_target_"


def refuse_absent_targets(jobs: Iterable[JobDescription], folder: Path) -> None:
    """Raise UsageError naming the key of a ``_target_`` that jobs launched in ``folder`` could not import."""
    seen: set[str] = set()
    for key, target in _targets(jobs):
        if target not in seen:
            seen.add(target)
            reason = _absent(current_name(target), folder)
            if reason is not None:
                raise UsageError(f"{'.'.join(key)}: cannot import {target}: {reason}")


def _targets(jobs: Iterable[JobDescription]) -> Iterator[tuple[Key, str]]:
    """Every target with its key; what thousands of points share is looked through once."""
    seen: dict[int, object] = {}
    for job in jobs:
        config = job.config
        base = config.layout.base if isinstance(config, SharedConfig) else config
        if "hydra" in base:
            continue  # another program imports these, from folders of its own
        if id(base) not in seen:
            seen[id(base)] = base
            yield from _targets_in((), base)
        if not isinstance(config, SharedConfig):
            continue
        for keys, values in zip(config.layout.groups, config.own, strict=True):
            if id(values) not in seen:
                seen[id(values)] = values
                for key, value in zip(keys, values, strict=True):
                    yield from _targets_in(key, value)


def _targets_in(place: Key, value: Any) -> Iterator[tuple[Key, str]]:
    return ((key, text) for key, text in strings(value, place) if key[-1] == _TARGET)


def _absent(target: str, folder: Path) -> str | None:
    """Say what is missing of a dotted name; None where it is there, or where only importing could tell."""
    top, *rest = target.split(".")
    if not all([top, *rest]) or not rest:
        return "give module.Class"
    if top in sys.stdlib_module_names:
        return None
    places = module_places(top, folder)
    if places is None:
        near = [path.stem for path in folder.iterdir() if path.suffix in ("", ".py")]
        return f"no module {top!r}{did_you_mean(top, near)}; is its folder the one that you are in, or on PYTHONPATH?"
    return _absent_below(top, places, rest) if places else None


def _absent_below(module: str, places: list[Path], rest: list[str]) -> str | None:
    for part in rest:
        inner = [found for place in places if place.is_dir() for found in _modules(place, part)]
        if not inner:
            return _absent_name(module, [_code(place) for place in places], part)
        module, places = f"{module}.{part}", inner
    return f"{module} is a module; name a class in it"


def _modules(folder: Path, name: str) -> list[Path]:
    """The package or module of this name in a package; compiled ones as well."""
    found = [folder / name] if (folder / name).is_dir() else []
    return found or [path for path in folder.glob(f"{name}.*") if path.suffix in (".py", ".so", ".pyd")]


def _code(place: Path) -> Path:
    return place / "__init__.py" if place.is_dir() else place


def _absent_name(module: str, files: list[Path], name: str) -> str | None:
    known: set[str] = set()
    for file in files:
        if file.suffix != ".py":
            return None
        try:
            found = _names(file)
        except SyntaxError as error:
            return f"{file}, line {error.lineno}: {error.msg}"
        if found is None or name in found:
            return None
        known |= found
    near = known | {path.stem for file in files if file.name == "__init__.py" for path in file.parent.iterdir()}
    return f"{module} has no {name!r}{did_you_mean(name, near)}"


@cache
def _names(file: Path) -> set[str] | None:
    """The names that a module defines; None where only importing tells."""
    if not file.exists():
        return set()
    names: set[str] = set()
    for node in _statements(ast.parse(file.read_text(encoding="utf-8"), str(file)).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        else:
            names |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return None if names & {"*", "__getattr__", "globals", "setattr", "exec"} else names


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, and those in its branches, but not in functions and classes."""
    for node in body:
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _statements([part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)])
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)
