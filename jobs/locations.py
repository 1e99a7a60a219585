"""Finds a configured place on this machine: a file or folder, which may lie in an installed package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from seedfold.jobs.errors import UsageError

_SCHEME = "pkg://"


def locate(place: str) -> Path:
    """Turn ``pkg://PACKAGE/FOLDER/FILE`` into a path, without importing the package itself; other places are paths.

    Raises UsageError if the package is not installed.
    """
    if not place.startswith(_SCHEME):
        return Path(place).expanduser()
    package, _, rest = place.removeprefix(_SCHEME).partition("/")
    top, *below = package.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"{place}: no package {top!r} is installed here")
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*below, rest)
