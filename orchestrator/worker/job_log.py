"""The log of a job: what its process prints goes there."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from seedfold.results.store.atomic_files import make_folder
from seedfold.results.store.passing_errors import try_again


def redirect_output(log: Path) -> None:
    """Have all that this process prints from now on go to the end of a file."""
    make_folder(log.parent)
    handle = try_again(lambda: os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), log)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    start_logging()


def start_logging() -> None:
    """Print the log messages of a run to standard output, from level INFO on, each with its time."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout, force=True
    )
