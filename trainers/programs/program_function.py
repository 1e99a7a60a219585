"""Finds the function of somebody's own program in the process of a job."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from seedfold.jobs.task_function import find_task_function
from seedfold.jobs.work import ConfigFailure


def find_function(program: Mapping[str, Any]) -> Callable[..., Any]:
    """Import the program's module and return its task function. Raises ConfigFailure if it has none of that name.

    What the module itself raises is its own failure. The module also takes the place of ``__main__``, which
    configurations may name.
    """
    for folder in program["path"]:
        if folder not in sys.path:
            sys.path.append(folder)
    module = _import_program(program["module"], Path(program["file"]))
    sys.modules["__main__"] = module if "." in program["module"] else _as_script(module)
    function = find_task_function(module, program["function"])
    if function is None:
        raise ConfigFailure(f"{module.__file__}: has no function {program['function']} any more")
    return function


def _as_script(module: ModuleType) -> ModuleType:
    """Return a module as ``python FILE`` has it as ``__main__``: without a name, by which others would start it again.

    Lightning starts the processes of its other devices so, and multiprocessing its own.
    """
    script = ModuleType("__main__")
    vars(script).update(vars(module))
    script.__name__, script.__spec__ = "__main__", None
    return script


def _import_program(name: str, file: Path) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None and _is_program_file(getattr(known, "__file__", None), file):
        return known
    spec = _find_spec(name)
    if spec is not None and _is_program_file(spec.origin, file):
        return importlib.import_module(name)
    return _import_file(name, file)


def _find_spec(name: str) -> Any:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _is_program_file(origin: str | None, file: Path) -> bool:
    """Whether a file is the program's, or its copy in a snapshot: one of that name that is not Python's own."""
    if origin is None or Path(origin).name != file.name:
        return False
    python_folders = tuple(f"{sysconfig.get_path(key)}/" for key in ("stdlib", "platstdlib", "purelib", "platlib"))
    return str(file).startswith(python_folders) or not origin.startswith(python_folders)


def _import_file(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.exists():
        raise ConfigFailure(f"{file}: the program is not there; run the sweep from where it is")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
