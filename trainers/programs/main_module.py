"""Runs the main module of somebody else's program as ``python FILE`` does, up to the place where it asks for its sweep.

Everything above that place has happened then: imports, resolvers, the block below ``if __name__ == "__main__"``. The
program gets the arguments of the sweep, takes the same way as in the launching process, and Hydra hands the function
over that it is to call. What follows the sweep in the program is not run: that is for the launching process.

``__file__`` is the program's own file, so that it finds and leaves files beside itself. The code is the snapshot's.
"""

from __future__ import annotations

import importlib.util
import linecache
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from seedfold.jobs.task_function import innermost_name
from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.programs.snapshot_modules import find_snapshot_modules, is_as_launched, prefer_snapshot

T = TypeVar("T")
TaskFunction = Callable[..., Any]
_entered: list[TaskFunction] = []
"""The function of the program that this process has entered, if it has."""


def enter(program: Mapping[str, Any], serve: Callable[[], None]) -> str | None:
    """Run a program up to its sweep and call ``serve`` there; jobs that are forked from there go on with it.

    Returns why the program did not come so far, None if it did. What the program itself raises is raised here.
    """

    def then(function: TaskFunction) -> None:
        _entered.append(function)
        serve()

    try:
        run_to_sweep(program, then)
    except (ConfigFailure, OSError) as error:
        return str(error)
    return None


def with_task_function(program: Mapping[str, Any], then: Callable[[TaskFunction], T]) -> T:
    """Return what ``then`` returns when it gets the function of the program, which is run here unless it has been.

    Raises ConfigFailure if the program ends without asking for that sweep, and what the program or ``then`` raises.
    """
    return then(_entered[0]) if _entered else run_to_sweep(program, then)


@dataclass
class _Outcome(Generic[T]):
    """What came of the function that was called at the sweep."""

    values: list[T] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def get(self) -> T:
        if self.errors:
            raise self.errors[0]
        return self.values[0]


class _SweepReached(BaseException):
    """Leaves the program; an ``except Exception`` in it does not catch this."""


def run_to_sweep(program: Mapping[str, Any], then: Callable[[TaskFunction], T]) -> T:
    """As `with_task_function`, in a process that has not run the program."""
    from hydra._internal.hydra import Hydra
    from hydra.types import RunMode

    name, outcome = (program["module"], program["function"]), _Outcome[T]()
    originals = Hydra.multirun, Hydra.get_mode

    def multirun(hydra: Hydra, config_name: str | None, task_function: TaskFunction, *args: Any, **kwargs: Any) -> None:
        if innermost_name(task_function) != name:
            return  # A program may have several sweeps: this one is not the job's.
        Hydra.multirun, Hydra.get_mode = originals  # type: ignore[method-assign]
        try:
            outcome.values.append(then(task_function))
        except BaseException as error:
            outcome.errors.append(error)
        raise _SweepReached

    # To compose the sweep again would read the configuration files of today.
    Hydra.multirun, Hydra.get_mode = multirun, lambda *args, **kwargs: RunMode.MULTIRUN  # type: ignore
    how_ended = "ends"
    try:
        _run_main_module(program)
    except _SweepReached:
        return outcome.get()
    except SystemExit as error:
        how_ended = f"calls sys.exit({'' if error.code is None else repr(error.code)})"
    finally:
        Hydra.multirun, Hydra.get_mode = originals  # type: ignore[method-assign]
    if outcome.values or outcome.errors:
        return outcome.get()
    raise ConfigFailure(
        f"{program['main_file']}: in a job the program {how_ended} before its sweep of {program['function']}, as it did"
        " not in the launching process; let it take the same way there"
    )


def _run_main_module(program: Mapping[str, Any]) -> None:
    os.chdir(program["cwd"])
    prefer_snapshot()
    sys.path.extend(folder for folder in program["path"] if folder not in sys.path)
    sys.argv = [program["main_file"], *program["argv"]]
    spec = _find_module(program["main_module"])
    code_file = find_code(program) if spec is None else Path(str(spec.origin))
    module = _make_main_module(program, code_file, spec)
    # Processes that a program spawns return objects of its classes under the second name, which `multiprocessing` takes
    # from whatever is the main module when it is imported.
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    content = code_file.read_bytes()
    # Hydra looks for the configuration beside the file that the code names; people look there for a failing line.
    code = compile(content, program["main_file"], "exec", dont_inherit=True)
    lines = importlib.util.decode_source(content).splitlines(keepends=True)
    linecache.cache[program["main_file"]] = len(content), None, lines, program["main_file"]
    exec(code, vars(module))


def find_code(program: Mapping[str, Any]) -> Path:
    """Return the copy of a script in the snapshot of the code, else the script. Raises ConfigFailure if it is gone."""
    script, modules = Path(program["main_file"]), find_snapshot_modules()
    copy = None if modules is None else modules / script.name
    if copy is not None and copy.is_file():
        return copy
    if not script.is_file():
        raise ConfigFailure(f"{script}: the program is not there; run the sweep from where it is")
    return script


def program_file(program: Mapping[str, Any]) -> str:
    """Return the file with which other processes start the program that this process runs.

    It is the program's own file. If that or a module has been edited since the launch, it is the copy of the snapshot.
    """
    module = sys.modules["__main__"]
    code_file = Path(str(getattr(module.__loader__, "path", program["main_file"])))
    if program["main_module"] or is_as_launched(program, code_file):
        return str(program["main_file"])
    _start_children_from(code_file)
    return str(code_file)


def _start_children_from(file: Path) -> None:
    """Let processes that multiprocessing starts afresh find the classes of the main module in another file."""
    from multiprocessing import spawn

    original = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        return {**data, "init_main_from_path": str(file)} if "init_main_from_path" in data else data

    spawn.get_preparation_data = get_preparation_data


def _find_module(name: str) -> ModuleSpec | None:
    """Find what ``python -m NAME`` runs; None for the empty name of a script."""
    if not name:
        return None
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigFailure(f"{name}: the program is not there; run the sweep from where it is")
    return spec


def _make_main_module(program: Mapping[str, Any], code_file: Path, spec: ModuleSpec | None) -> ModuleType:
    module = ModuleType("__main__")
    module.__file__, module.__spec__ = program["main_file"], spec
    # Records of code read the loader's file; multiprocessing and Lightning start a module without a spec as a script.
    module.__loader__ = SourceFileLoader("__main__", str(code_file)) if spec is None else spec.loader
    module.__package__ = None if spec is None else spec.parent
    vars(module)["__cached__"] = None
    vars(module)["__builtins__"] = sys.modules["builtins"]
    vars(module).setdefault("__annotations__", {})
    return module
