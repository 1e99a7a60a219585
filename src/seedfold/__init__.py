"""Machine-learning experiment matrices, done once.

The front door for notebooks: ``import seedfold as sf``, then ``sf.study("digits")``. Importing this module imports
next to nothing else; see `seedfold.orchestrator.views.study.Study` for what a study can be asked.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from seedfold.jobs.derivation import derivation
from seedfold.jobs.moved_modules import current_name

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder

    from seedfold import lightning
    from seedfold.orchestrator.views.study import Study
    from seedfold.results.recording.current_run import CurrentRun
else:
    # Importing these takes a third of the time that every task and command needs until it begins.
    Loader = MetaPathFinder = object

__all__ = ["current", "derivation", "lightning", "study"]


def current() -> CurrentRun:
    """Return the run that this process is part of, to log metrics, keep predictions, and find checkpoints.

    It works in any process of a job, child processes included. A program that Seedfold has not started gets a stand-in
    that prints metrics and ignores the rest. See `seedfold.results.recording.current_run.CurrentRun`.
    """
    from seedfold.results.recording.current_run import current as current_run

    return current_run()


def study(
    name: str,
    root: str | Path | None = None,
    *,
    config_dirs: Sequence[str | Path] = (),
    with_removed: bool = False,
) -> Study:
    """Open a study by its name, which need not have been launched yet.

    ``root`` is found as the command finds it: SEEDFOLD_ROOT, the site file, the nearest marked folder upwards,
    ``./runs``. ``config_dirs`` are folders with a configuration of your own, as in ``--config-dir``.
    ``with_removed`` adds the jobs of points that the study as last launched no longer has. Raises
    `seedfold.jobs.errors.UsageError` for a name that cannot be a folder's.
    """
    from seedfold.orchestrator.views.study import Study

    return Study.open(name, root, config_dirs, with_removed)


def __getattr__(name: str) -> Any:
    """Import `seedfold.lightning` when it is asked for."""
    if name == "lightning":
        return importlib.import_module("seedfold.lightning")
    raise AttributeError(f"module 'seedfold' has no attribute {name!r}")


class _OldNameFinder(MetaPathFinder):
    """Imports a module of Seedfold that has moved by the name that it had: both names are one module."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        current = current_name(name) if name.startswith("seedfold.") else name
        return None if current == name else ModuleSpec(name, _AliasLoader(current))


class _AliasLoader(Loader):
    def __init__(self, current: str) -> None:
        self._current = current

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._current)
        self._module_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has written the old name over the module's own.
        module.__spec__ = self._module_spec


# First in line: a package that has moved would otherwise load its modules once more under their old names.
sys.meta_path.insert(0, _OldNameFinder())
