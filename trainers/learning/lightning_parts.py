"""`seedfold.lightning`: a logger and a checkpoint callback for a ``Trainer`` of Lightning.

There are two packages, ``lightning`` and ``pytorch_lightning``, whose classes do not know each other. The parts are
made for the one that the program has imported. Importing this module imports neither.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from seedfold.trainers.learning.lightning_checkpoint import CheckpointMethods
from seedfold.trainers.learning.lightning_logger import LoggerMethods

PACKAGES = ("lightning.pytorch", "pytorch_lightning")
_PARTS = {"Logger": ("loggers.logger", LoggerMethods), "Checkpoint": ("callbacks", CheckpointMethods)}


def Logger() -> Any:  # noqa: N802, it stands for a class
    """Return a logger for ``Trainer(logger=…)``; see `seedfold.trainers.learning.lightning_logger.LoggerMethods`."""
    return part_class(_package_in_use(), "Logger")()


def Checkpoint(monitor: str | None = None, mode: str | None = None) -> Any:  # noqa: N802, it stands for a class
    """Return a callback for ``Trainer(callbacks=[…])``; see `lightning_checkpoint.CheckpointMethods`.

    Raises `seedfold.jobs.work.ConfigFailure` if ``mode`` is neither min nor max.
    """
    return part_class(_package_in_use(), "Checkpoint")(monitor, mode)


def _package_in_use() -> str:
    return next((package for package in PACKAGES if package in sys.modules), PACKAGES[1])


def part_class(package: str, kind: str) -> Any:
    """Return the class of a part, ``Logger`` or ``Checkpoint``, for one of the two packages."""
    name = f"{package.replace('.', '_')}_{kind}"
    if name not in globals():
        module, methods = _PARTS[kind]
        base = getattr(importlib.import_module(f"{package}.{module}"), kind)
        globals()[name] = type(name, (methods, base), {"__module__": __name__, "__doc__": methods.__doc__})
    return globals()[name]


def __getattr__(name: str) -> Any:
    """Return a class of a part by its name, as pickle asks for it in a process that Lightning has started."""
    for package in PACKAGES:
        for kind in _PARTS:
            if name == f"{package.replace('.', '_')}_{kind}":
                return part_class(package, kind)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
