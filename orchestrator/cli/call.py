"""How a command was called: the root as it was written, and the folder in which it was called."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_ROOT_OPTION_KEY = f"{__name__}.root"


def get_root_option(context: click.Context) -> str | None:
    """The value of ``--root`` as it was written; None if it was not given."""
    given: str | None = context.meta[_ROOT_OPTION_KEY]
    return given


def store_root_option(context: click.Context, value: str | None) -> None:
    """Keep the value of ``--root`` for `get_root_option`."""
    context.meta[_ROOT_OPTION_KEY] = value


def add_folder_to_import_path() -> None:
    """Make the user's own packages in this folder importable, as they are in jobs."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
