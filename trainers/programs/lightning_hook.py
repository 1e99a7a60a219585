"""Gives the Lightning trainings of an unchanged program Seedfold's logger and checkpoints, inside a job.

Where a job runs a program, `install` waits for the import of Lightning's ``Trainer``, of either package, and lets it
do two things more: it is made with our logger and our checkpoint callback beside those that it was given, and ``fit``
goes on from the checkpoint of an earlier attempt. ``logger=False`` and ``enable_checkpointing=False`` are respected.
`seedfold.lightning: off` in the configuration, or SEEDFOLD_LIGHTNING=off, switch it off.

Processes that the program starts, such as those of other devices, must do the same, or they would wait for each other
for ever. They find the folder ``startup`` on their PYTHONPATH: see decision 30.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from seedfold.jobs.work import ConfigFailure
from seedfold.results.recording.attempt_file import ATTEMPT_VARIABLE
from seedfold.results.recording.current_run import current, process_rank
from seedfold.trainers.learning.lightning_checkpoint import (
    CheckpointMethods,
    loading_arguments,
    next_fit_number,
    state_file,
)
from seedfold.trainers.learning.lightning_logger import LoggerMethods
from seedfold.trainers.learning.lightning_parts import PACKAGES, part_class

SWITCH = "SEEDFOLD_LIGHTNING"
STARTUP_FOLDER = Path(__file__).parent / "startup"
_MODES = ("auto", "off")
_TRAINER_MODULES = {f"{package}.trainer.trainer": package for package in PACKAGES}


def prepare_environment(config: Mapping[str, Any], environment: MutableMapping[str, str]) -> bool:
    """Let Python processes that get this environment install the hook; return whether it is switched on.

    Raises ConfigFailure if ``seedfold.lightning`` is neither auto nor off.
    """
    settings = config.get("seedfold")
    mode = settings.get("lightning", "auto") if isinstance(settings, Mapping) else "auto"
    mode = "off" if mode is False else mode  # YAML reads a plain `off` as false
    if mode not in _MODES:
        raise ConfigFailure(f"seedfold.lightning: {mode!r} is neither auto nor off")
    if mode == "off" or environment.get(SWITCH) == "off":
        environment[SWITCH] = "off"
        return False
    folders = [str(STARTUP_FOLDER), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, folders)))
    return True


def install() -> None:
    """Change the ``Trainer`` when it is imported, or now if it has been; nothing to do outside of a job."""
    if ATTEMPT_VARIABLE not in os.environ or os.environ.get(SWITCH) == "off":
        return
    if not any(isinstance(finder, _TrainerFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TrainerFinder())
    for name, package in _TRAINER_MODULES.items():
        if name in sys.modules:
            _change_trainer(sys.modules[name], package)


class _TrainerFinder(MetaPathFinder):
    """Finds the modules of the two ``Trainer`` classes as Python does, and changes the class once it is there."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        package = _TRAINER_MODULES.get(name)
        spec = PathFinder.find_spec(name, path, target) if package else None
        if spec is None or spec.loader is None or package is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            _change_trainer(module, package)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


def _change_trainer(module: ModuleType, package: str) -> None:
    trainer = module.Trainer
    if "_seedfold" in vars(trainer):
        return
    trainer._seedfold = True
    trainer.__init__ = _with_parts(trainer.__init__, package)
    trainer.fit = _with_last_checkpoint(trainer.fit)


def _with_parts(initialize: Callable[..., None], package: str) -> Callable[..., None]:
    @functools.wraps(initialize)
    def init(self: Any, *arguments: Any, **named: Any) -> None:
        if named.get("fast_dev_run") or named.get("barebones"):
            _say("this Trainer is for a quick try; it gets no logger and no checkpoints")
        else:
            named["logger"] = _loggers(package, named.get("logger"))
            named["callbacks"] = _callbacks(package, named.get("callbacks"), named.get("enable_checkpointing"))
        initialize(self, *arguments, **named)

    return init


def _loggers(package: str, given: Any) -> Any:
    """Return the loggers that were given, or Lightning's default, and ours."""
    if given is False:
        _say("this Trainer has logger=False, so that there are no learning curves")
        return given
    is_default = given is None or given is True or given == []
    loggers = _default_loggers(package) if is_default else _as_list(given)
    if any(isinstance(one, LoggerMethods) for one in loggers):
        return loggers
    _say(f"metrics of this Trainer are logged by epoch; its files are in {current().folder}")
    return [*loggers, part_class(package, "Logger")()]


def _default_loggers(package: str) -> list[Any]:
    """Return Lightning's default, which a module may use by name, with its files in the folder of the job."""
    if importlib.util.find_spec("tensorboard") is None and importlib.util.find_spec("tensorboardX") is None:
        return []
    loggers = importlib.import_module(f"{package}.loggers")
    return [loggers.TensorBoardLogger(str(current().folder), name="", version="")]


def _as_list(given: Any) -> list[Any]:
    """Return one or several objects as a list; Hydra hands over a list of its own kind."""
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) else [given]


def _callbacks(package: str, given: Any, enabled: bool | None) -> Any:
    callbacks = _as_list(given)
    if enabled is False:
        _say("this Trainer has enable_checkpointing=False, so that after a kill it begins anew")
        return callbacks
    if any(isinstance(one, CheckpointMethods) for one in callbacks):
        return callbacks
    return [*callbacks, part_class(package, "Checkpoint")()]


def _with_last_checkpoint(fit: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(fit)

    @functools.wraps(fit)
    def fit_on(self: Any, *arguments: Any, **named: Any) -> None:
        bound = signature.bind(self, *arguments, **named)
        run = current()
        last = state_file(run, "last", next_fit_number(run))
        if any(isinstance(one, CheckpointMethods) for one in self.callbacks) and last.exists():
            _say(f"training goes on from {last}")
            bound.arguments["ckpt_path"] = str(last)
            bound.arguments.update(loading_arguments(fit, last))
        fit(*bound.args, **bound.kwargs)

    return fit_on


def _say(text: str) -> None:
    if process_rank() == 0:
        print(f"seedfold: {text} (to switch this off: seedfold.lightning=off)", flush=True)
