"""Functions that a new process calls, which imports Seedfold from a snapshot of the code.

The snapshot may be older or newer than the last move of modules. The oldest name of a function is known to both: the
old code has it, and newer code finds what has moved (see `seedfold.jobs.moved_modules`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from seedfold.jobs.moved_modules import oldest_name

_CALL = (
    'import importlib, json, sys; module, name = sys.argv[1].split(":");'
    " getattr(importlib.import_module(module), name)(*json.loads(sys.argv[2]))"
)


def python_arguments(function: Callable[..., None], args: Sequence[Any]) -> list[str]:
    """Return the arguments with which Python calls a function; ``args`` are what JSON can hold.

    Without ``-P`` the current folder would come before the snapshot of the code.
    """
    name = f"{oldest_name(function.__module__)}:{function.__qualname__}"
    return ["-P", "-u", "-c", _CALL, name, json.dumps(list(args))]
