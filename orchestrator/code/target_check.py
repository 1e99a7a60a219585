"""Checks that the classes that a study names by ``_target_`` exist, before its jobs are started.

Nothing is imported, because a login node may lack what jobs import, and because imports take long. The source files of
the user's own modules, and of Seedfold's, are read instead. Installed packages are not checked.
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
from seedfold.jobs.key_patterns import KeyPath as Key
from seedfold.jobs.moved_modules import current_name
from seedfold.jobs.shared_config import SharedConfig, walk_texts
from seedfold.orchestrator.code.source_files import find_module_paths

_TARGET_KEY = "_target_"


def refuse_missing_targets(jobs: Iterable[JobDescription], folder: Path) -> None:
    """Raise UsageError, which names the key, for a ``_target_`` that jobs launched in ``folder`` could not import."""
    seen: set[str] = set()
    for key, target in _find_targets(jobs):
        if target not in seen:
            seen.add(target)
            reason = _find_problem(current_name(target), folder)
            if reason is not None:
                raise UsageError(f"{'.'.join(key)}: cannot import {target}: {reason}")


def _find_targets(jobs: Iterable[JobDescription]) -> Iterator[tuple[Key, str]]:
    """Every target with its key. Parts of the configuration that many points share are searched once."""
    seen: dict[int, object] = {}
    for job in jobs:
        config = job.config
        base = config.layout.base if isinstance(config, SharedConfig) else config
        if "hydra" in base:
            continue  # These targets are imported by another program, from its own folders.
        if id(base) not in seen:
            seen[id(base)] = base
            yield from _targets_in((), base)
        if not isinstance(config, SharedConfig):
            continue
        for keys, values in zip(config.layout.groups, config.own_values, strict=True):
            if id(values) not in seen:
                seen[id(values)] = values
                for key, value in zip(keys, values, strict=True):
                    yield from _targets_in(key, value)


def _targets_in(key_prefix: Key, value: Any) -> Iterator[tuple[Key, str]]:
    return ((key, text) for key, text in walk_texts(value, key_prefix) if key[-1] == _TARGET_KEY)


def _find_problem(target: str, folder: Path) -> str | None:
    """Return which part of a dotted name is missing; None if the name exists, or if only an import could tell."""
    top, *rest = target.split(".")
    if not all([top, *rest]) or not rest:
        return "write it as module.Class"
    if top in sys.stdlib_module_names:
        return None
    paths = find_module_paths(top, folder)
    if paths is None:
        near = [path.stem for path in folder.iterdir() if path.suffix in ("", ".py")]
        return (
            f"there is no module {top!r}{did_you_mean(top, near)}; run the command in the"
            " folder of the module, or add the folder to PYTHONPATH"
        )
    return _find_problem_below(top, paths, rest) if paths else None


def _find_problem_below(module: str, paths: list[Path], names: list[str]) -> str | None:
    for part in names:
        paths_below = [found for path in paths if path.is_dir() for found in _find_modules(path, part)]
        if not paths_below:
            return _find_missing_name(module, [_code_file(path) for path in paths], part)
        module, paths = f"{module}.{part}", paths_below
    return f"{module} is a module; name a class in it"


def _find_modules(folder: Path, name: str) -> list[Path]:
    """The files or folders of a package or module of this name in a package; compiled modules as well."""
    found = [folder / name] if (folder / name).is_dir() else []
    return found or [path for path in folder.glob(f"{name}.*") if path.suffix in (".py", ".so", ".pyd")]


def _code_file(path: Path) -> Path:
    return path / "__init__.py" if path.is_dir() else path


def _find_missing_name(module: str, files: list[Path], name: str) -> str | None:
    known: set[str] = set()
    for file in files:
        if file.suffix != ".py":
            return None
        try:
            found = _defined_names(file)
        except SyntaxError as error:
            return f"{file}, line {error.lineno}: {error.msg}"
        if found is None or name in found:
            return None
        known |= found
    near = known | {path.stem for file in files if file.name == "__init__.py" for path in file.parent.iterdir()}
    return f"{module} has no {name!r}{did_you_mean(name, near)}"


@cache
def _defined_names(file: Path) -> set[str] | None:
    """The names that a module defines; None if only an import could tell."""
    if not file.exists():
        return set()
    names: set[str] = set()
    for node in _module_statements(ast.parse(file.read_text(encoding="utf-8"), str(file)).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        else:
            names |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return None if names & {"*", "__getattr__", "globals", "setattr", "exec"} else names


def _module_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, also those inside `if` and `try`, but not those inside functions and classes."""
    for node in body:
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _module_statements([part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)])
            for handler in getattr(node, "handlers", []):
                yield from _module_statements(handler.body)
