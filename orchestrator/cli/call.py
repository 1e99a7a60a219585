"""What a command knows of how it was called: the root as it was written, and the folder it was called in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_ROOT_AS_GIVEN = f"{__name__}.root"


def root_as_given(context: click.Context) -> str | None:
    """What was written behind ``--root``; None if nothing was."""
    given: str | None = context.meta[_ROOT_AS_GIVEN]
    return given


def note_root(context: click.Context, value: str | None) -> None:
    """Keep what was written behind ``--root`` for `root_as_given`."""
    context.meta[_ROOT_AS_GIVEN] = value


def import_from_here() -> None:
    """Have a user's own package importable in this folder, as it is in the job."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
