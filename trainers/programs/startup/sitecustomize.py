"""Run by Python as it starts, in the processes of a job's program: it installs what Lightning trainings get.

Another `sitecustomize` that Python would have run is run as well. A Python without Seedfold is left alone.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _run_next() -> None:
    """Run the `sitecustomize` that this one hides."""
    others = [folder for folder in sys.path if Path(folder or ".").resolve() != _HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _install_hook() -> None:
    try:
        from seedfold.trainers.programs.lightning_hook import install
    except ImportError:
        print(
            f"seedfold: {sys.executable} has no Seedfold: Lightning trainings in it get nothing",
            file=sys.stderr,
        )
        return
    install()


_run_next()
if "SEEDFOLD_ATTEMPT" in os.environ and os.environ.get("SEEDFOLD_LIGHTNING") != "off":
    _install_hook()
