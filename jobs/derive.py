"""Values that a study computes per point with named pure functions, such as class weights from an imbalance ratio."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from types import ModuleType
from typing import Any

from omegaconf._utils import split_key

from seedfold.jobs.canonical import canonical_json, plain
from seedfold.jobs.errors import SeedfoldError, UsageError, did_you_mean
from seedfold.jobs.late_references import is_late
from seedfold.jobs.patterns import Path
from seedfold.jobs.schema import StageSpec
from seedfold.jobs.shared_config import strings
from seedfold.jobs.study_keys import Conventions


def given(value: Any) -> Any:
    """Return ``value``, a value of one stage alone that is no axis. It may refer to a result of an earlier stage."""
    return value


@dataclass
class Derivation:
    """One derived key: where it goes (``path``), where its arguments stand (``node``), and the function with its name.

    ``values`` holds each distinct result once; ``known`` its number by the canonical text of the arguments.
    """

    key: str
    path: Path
    node: Path
    name: str
    function: Callable[..., Any]
    place: str
    values: list[tuple[Any]] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    _results: dict[str, int] = field(default_factory=dict)

    def number(self, arguments: Mapping[str, Any], point: Callable[[], str]) -> int:
        """Return the number of the value for these arguments.

        Raises UsageError that names stage, point, function and what it raised where it raises, and where its result is
        no JSON value or its arguments are only known when the job starts.
        """
        text = canonical_json(arguments)
        found = self.known.get(text)
        if found is None:
            value = self._compute(arguments, point)
            found = self._results.setdefault(canonical_json(value), len(self.values))
            if found == len(self.values):
                self.values.append((value,))
            self.known[text] = found
        return found

    def _compute(self, arguments: Mapping[str, Any], point: Callable[[], str]) -> Any:
        for name, value in arguments.items():
            if is_late(value) and self.function is not given:
                raise UsageError(f"{self._at(point)}: {name} is only known when the job starts; derive nothing from it")
        try:
            result = self.function(**arguments)
        except SeedfoldError as error:
            raise UsageError(f"{self._at(point)}: {self.name}: {error}") from error
        except Exception as error:
            raise UsageError(f"{self._at(point)}: {self.name} raised {_one_line(error)}") from error
        return self._as_json(result, point)

    def _as_json(self, result: Any, point: Callable[[], str]) -> Any:
        try:
            value = _jsonable(result)
            canonical_json(value)
        except UsageError as error:
            raise UsageError(f"{self._at(point)}: the result is no JSON value ({error})") from error
        if any("${" in text and not is_late(text) for _, text in strings(value)):
            raise UsageError(f"{self._at(point)}: the result holds an interpolation; return a plain value")
        return value

    def _at(self, point: Callable[[], str]) -> str:
        return f"{self.place}: derive.{self.key} at {point()}"


def _jsonable(value: Any) -> Any:
    """Return ``value`` with tuples as lists and NumPy's numbers and arrays as Python's."""
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return _jsonable(value.tolist())
    if isinstance(value, Mapping):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return float(value)
    plain(value)
    return value


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def read_derivations(spec: StageSpec, folder: FilePath, conventions: Conventions) -> tuple[Derivation, ...]:
    """Return a stage's derived keys in the order written; raises UsageError for what is no function."""
    return tuple(_read(spec, folder, key, given, conventions) for key, given in spec.derive.items())


def _read(spec: StageSpec, folder: FilePath, key: str, given: Any, conventions: Conventions) -> Derivation:
    place = f"{spec.place}: derive.{key}"
    name = key.lstrip("+")
    path = _path(name, conventions)
    if not isinstance(given, dict) or not isinstance(given.get("_target_"), str):
        raise UsageError(f"{place}: names no function; write {{_target_: package.module.function, ARGUMENT: value}}")
    if path[0] in conventions.study and path[0] != conventions.resources:
        raise UsageError(f"{place}: {path[0]} describes the study and is not computed per point; choose another key")
    target = given["_target_"]
    return Derivation(name, path, (*spec.at, "derive", key), target, _function(place, target, folder), spec.place)


def _path(name: str, conventions: Conventions) -> Path:
    """Return where a derived value goes; what a job asks for may stand under a key with dots."""
    head, inner = f"{conventions.resources}.", name.removeprefix(f"{conventions.resources}.")
    if name.startswith(head):
        return (conventions.resources, *split_key(inner))
    return tuple(split_key(name))


def _function(place: str, name: str, folder: FilePath) -> Callable[..., Any]:
    try:
        with _importable(folder):
            found = _locate(name)
    except Exception as error:
        reason = str(error) if isinstance(error, _NameError) else _one_line(error)
        raise UsageError(f"{place}: cannot import {name} ({reason}); correct the name") from error
    if not callable(found):
        raise UsageError(f"{place}: {name} is no function; name one")
    return found  # type: ignore[no-any-return]


class _NameError(Exception):
    """A name that leads nowhere, in words of our own."""


def _locate(name: str) -> Any:
    """Return what a dotted name stands for. Hydra's own look-up says of a failure more than a line, and logs it."""
    parts = name.split(".")
    module, rest = _longest_module(parts)
    found: Any = module
    for part in rest:
        if not hasattr(found, part):
            where = ".".join(parts[: len(parts) - len(rest)])
            raise _NameError(f"{where} has no {'.'.join(rest)}{did_you_mean(part, dir(found))}")
        found = getattr(found, part)
    return found


def _longest_module(parts: list[str]) -> tuple[ModuleType, list[str]]:
    """Import the module that the first parts name, as many as possible; return it and the rest."""
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name), parts[length:]
        except ModuleNotFoundError as error:
            # One that is missing inside a module which is there is that module's error.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
        except ValueError as error:
            raise _NameError("empty parts between its dots") from error
    raise _NameError(f"no module {parts[0]}")


@contextmanager
def _importable(folder: FilePath) -> Iterator[None]:
    """Let modules in the folder of the launch be imported, as they can be in the job."""
    added = str(folder) not in sys.path
    if added:
        sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if added and str(folder) in sys.path:
            sys.path.remove(str(folder))
