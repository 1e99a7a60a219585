"""Names the function that Hydra calls in a program, and says how another process comes to it.

Jobs run the main module of the program as ``python FILE`` does, until it asks Hydra for its sweep. Where there is no
such module, as in a notebook or under pytest, they import the module of the function and find it by its name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from seedfold.jobs.errors import UsageError

_HYDRA_MODULE = "hydra.main"
_START_KEYS = ("main_file", "main_module", "argv", "arguments", "path", "cwd", "module", "function")
_VARYING_START_KEYS = ("argv", "path")


def program_start(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what says how the program of a job is started; None if jobs import it, or if it is not a program's job."""
    program = config["hydra"]["program"] if "hydra" in config else {}
    return {key: program[key] for key in _START_KEYS} if program.get("main_file") else None


def is_same_start(start: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    """Whether two jobs may share a process that has run the main module; they need not be of one sweep."""
    return other is not None and all(
        list(start[key]) == list(other[key]) for key in start if key not in _VARYING_START_KEYS
    )


def innermost_name(function: Callable[..., Any]) -> tuple[str, str]:
    """Return the module and the qualified name of a function, or of what a partial or zen(...) calls.

    The module of a script has the name of the script.
    """
    inner: Any = function
    while not hasattr(inner, "__qualname__"):
        inner = getattr(inner, "func", None) or getattr(inner, "__wrapped__", None) or type(inner)
    module = sys.modules.get(inner.__module__)
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return inner.__module__, inner.__qualname__
    return _module_name(module, Path(file)), inner.__qualname__


def find_task_function(module: ModuleType, name: str) -> Callable[..., Any] | None:
    """Return what ``@hydra.main`` decorates under this qualified name, or what has that name; None if nothing has."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    inner: Any = found
    while inner is not None:
        if getattr(inner, "__globals__", {}).get("__name__") == _HYDRA_MODULE:
            return inner.__wrapped__  # type: ignore[no-any-return]
        inner = getattr(inner, "__wrapped__", None)
    return found if callable(found) else None


def task_function_name(function: Callable[..., Any]) -> tuple[str, str, Path]:
    """Return the module, the qualified name and the file under which jobs find a task function.

    The module of a script has the name of the script, in whatever folder the script is. Raises UsageError for a
    function that cannot be found by its name, such as one within another function.
    """
    name, module = getattr(function, "__qualname__", ""), sys.modules.get(getattr(function, "__module__", ""))
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        raise UsageError(f"{function!r}: jobs cannot import it; put the program into a file")
    if not name or find_task_function(module, name) is not function:
        raise UsageError(
            f"{file}: {name or function!r} is not what the module has under that name, so that jobs cannot find it; "
            "decorate a function at the top of the module with @hydra.main"
        )
    return _module_name(module, Path(file)), name, Path(file).absolute()


def _module_name(module: ModuleType, file: Path) -> str:
    if module.__name__ != "__main__":
        return module.__name__
    return module.__spec__.name if module.__spec__ is not None else file.stem
