"""Functions that submitit passes to a process that imports Seedfold from a snapshot of the code.

The snapshot may be older or newer than the last move of modules. The oldest name of a function is known to both: the
old code has it, and newer code finds what has moved (see `seedfold.jobs.moved_modules`).
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable

from seedfold.jobs.moved_modules import oldest_name


class PortableCall:
    """A function that is pickled as its oldest name. A process that reads the pickle gets the function itself."""

    def __init__(self, function: Callable[..., None]) -> None:
        self._function = function

    def __call__(self, *args: object) -> None:
        """Call the function."""
        self._function(*args)

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        module, name = self._function.__module__, self._function.__qualname__
        return pkgutil.resolve_name, (f"{oldest_name(module)}:{name}",)
