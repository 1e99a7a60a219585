"""Values that a study computes for each point with pure functions, such as class weights from an imbalance ratio."""

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

from seedfold.jobs.canonical_json import canonical_json, to_plain
from seedfold.jobs.derivation import derivation, is_derivation
from seedfold.jobs.errors import SeedfoldError, UsageError, did_you_mean
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.late_references import has_late_reference
from seedfold.jobs.shared_config import walk_texts
from seedfold.jobs.stages import StageSpec
from seedfold.jobs.study_keys import Conventions


@derivation
def given(value: Any) -> Any:
    """Return ``value``: so one stage can have a value of its own without an axis.

    The value may refer to a result of an earlier stage.
    """
    return value


@dataclass
class Derivation:
    """One derived key: where it goes (``path``), where its arguments stand (``arguments_path``), and the function with
    its name.

    ``values`` holds each distinct result once; ``number_by_arguments`` its number by the canonical text of the
    arguments.
    """

    key: str
    target_path: KeyPath
    arguments_path: KeyPath
    name: str
    function: Callable[..., Any]
    stage_label: str
    values: list[tuple[Any]] = field(default_factory=list)
    number_by_arguments: dict[str, int] = field(default_factory=dict)
    _number_by_result: dict[str, int] = field(default_factory=dict)

    def value_number(self, arguments: Mapping[str, Any], point_name: Callable[[], str]) -> int:
        """Return the number of the value for these arguments.

        Raises UsageError, which names stage, point and function, if the function raises, if its result is not a JSON
        value, or if its arguments are not known before the job starts.
        """
        text = canonical_json(arguments)
        found = self.number_by_arguments.get(text)
        if found is None:
            value = self._compute(arguments, point_name)
            found = self._number_by_result.setdefault(canonical_json(value), len(self.values))
            if found == len(self.values):
                self.values.append((value,))
            self.number_by_arguments[text] = found
        return found

    def _compute(self, arguments: Mapping[str, Any], point_name: Callable[[], str]) -> Any:
        for name, value in arguments.items():
            if has_late_reference(value) and self.function is not given:
                raise UsageError(
                    f"{self._error_place(point_name)}: {name} is not known before the job starts;"
                    " derive nothing from it"
                )
        try:
            result = self.function(**arguments)
        except SeedfoldError as error:
            raise UsageError(f"{self._error_place(point_name)}: {self.name}: {error}") from error
        except Exception as error:
            raise UsageError(f"{self._error_place(point_name)}: {self.name} raised {_one_line_error(error)}") from error
        return self._as_json(result, point_name)

    def _as_json(self, result: Any, point_name: Callable[[], str]) -> Any:
        try:
            value = _to_jsonable(result)
            canonical_json(value)
        except UsageError as error:
            raise UsageError(f"{self._error_place(point_name)}: the result is not a JSON value ({error})") from error
        if any("${" in text and not has_late_reference(text) for _, text in walk_texts(value)):
            raise UsageError(
                f"{self._error_place(point_name)}: the result holds an interpolation; return a plain value"
            )
        return value

    def _error_place(self, point_name: Callable[[], str]) -> str:
        return f"{self.stage_label}: derive.{self.key} at {point_name()}"


def _to_jsonable(value: Any) -> Any:
    """Return ``value`` with tuples as lists and NumPy's numbers and arrays as Python's."""
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return _to_jsonable(value.tolist())
    if isinstance(value, Mapping):
        return {key: _to_jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_jsonable(item) for item in value]
    if isinstance(value, float):
        return float(value)
    to_plain(value)
    return value


def _one_line_error(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def read_derivations(spec: StageSpec, folder: FilePath, conventions: Conventions) -> tuple[Derivation, ...]:
    """Return a stage's derived keys in the order written; raises UsageError for a name that is not a function."""
    return tuple(_read_derivation(spec, folder, key, entry, conventions) for key, entry in spec.derive.items())


def _read_derivation(spec: StageSpec, folder: FilePath, key: str, entry: Any, conventions: Conventions) -> Derivation:
    place = f"{spec.label}: derive.{key}"
    name = key.lstrip("+")
    path = _target_path(name, conventions)
    if not isinstance(entry, dict) or not isinstance(entry.get("_target_"), str):
        raise UsageError(
            f"{place}: does not name a function; write {{_target_: package.module.function, ARGUMENT: value}}"
        )
    if path[0] in conventions.study_keys and path[0] != conventions.resources_key:
        raise UsageError(f"{place}: {path[0]} describes the study and is not computed per point; choose another key")
    target = entry["_target_"]
    return Derivation(
        name, path, (*spec.config_path, "derive", key), target, _import_function(place, target, folder), spec.label
    )


def _target_path(name: str, conventions: Conventions) -> KeyPath:
    """Return the path that a derived value is set at; resources may lie under a key with dots."""
    head, inner = f"{conventions.resources_key}.", name.removeprefix(f"{conventions.resources_key}.")
    if name.startswith(head):
        return (conventions.resources_key, *split_key(inner))
    return tuple(split_key(name))


def _import_function(place: str, name: str, folder: FilePath) -> Callable[..., Any]:
    """Import a function that is marked as a derivation. What Python itself offers, such as ``os``, is not looked up."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise UsageError(f"{place}: {name} belongs to Python, and could do anything; {_HOW_TO_MARK}")
    try:
        with _on_import_path(folder):
            found = _import_name(name)
    except Exception as error:
        reason = str(error) if isinstance(error, _ImportNameError) else _one_line_error(error)
        raise UsageError(f"{place}: cannot import {name} ({reason}); correct the name") from error
    if not callable(found):
        raise UsageError(f"{place}: {name} is not a function; give the name of one")
    if not is_derivation(found):
        raise UsageError(f"{place}: {name} is not marked as a derivation; {_HOW_TO_MARK}")
    return found  # type: ignore[no-any-return]


_HOW_TO_MARK = "name a function of yours that has the decorator seedfold.derivation"


class _ImportNameError(Exception):
    """A dotted name that cannot be imported; the message says why."""


def _import_name(name: str) -> Any:
    """Return what a dotted name stands for. Hydra's own look-up logs a failure, and its message has several lines."""
    parts = name.split(".")
    module, rest = _import_longest_module(parts)
    found: Any = module
    for part in rest:
        if not hasattr(found, part):
            where = ".".join(parts[: len(parts) - len(rest)])
            raise _ImportNameError(f"{where} has no {'.'.join(rest)}{did_you_mean(part, dir(found))}")
        found = getattr(found, part)
    return found


def _import_longest_module(parts: list[str]) -> tuple[ModuleType, list[str]]:
    """Import the module that the first parts name, as many as possible; return it and the rest."""
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name), parts[length:]
        except ModuleNotFoundError as error:
            # If the module exists and cannot import another one, that is the error of the module.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
        except ValueError as error:
            raise _ImportNameError("empty parts between its dots") from error
    raise _ImportNameError(f"no module {parts[0]}")


@contextmanager
def _on_import_path(folder: FilePath) -> Iterator[None]:
    """Let this process import modules in the folder of the launch, as the job can."""
    added = str(folder) not in sys.path
    if added:
        sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if added and str(folder) in sys.path:
            sys.path.remove(str(folder))
