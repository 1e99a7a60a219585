"""What a command knows of how it was called: the root as it was written, and the folder it was called in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_ROOT_OPTION_KEY = f"{__name__}.root"


def get_root_option(context: click.Context) -> str | None:
    """What was written behind ``--root``; None if nothing was."""
    given: str | None = context.meta[_ROOT_OPTION_KEY]
    return given


def store_root_option(context: click.Context, value: str | None) -> None:
    """Keep what was written behind ``--root`` for `get_root_option`."""
    context.meta[_ROOT_OPTION_KEY] = value


def add_folder_to_import_path() -> None:
    """Have a user's own package importable in this folder, as it is in the job."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
