"""Names the function that ``@hydra.main`` decorates, and finds it by that name in another process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from seedfold.jobs.errors import UsageError

_HYDRA_MODULE = "hydra.main"


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
