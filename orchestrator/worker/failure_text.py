"""What the log of a job says of the exception that ended it."""

from __future__ import annotations

import os

from seedfold.jobs.errors import UsageError
from seedfold.jobs.secret_values import traceback_text, without_secrets
from seedfold.jobs.work import ConfigFailure, ProgramFailure


def failure_text(error: BaseException) -> str:
    """Return the traceback, after the message where that is about the configuration.

    A program that the job ran has printed its own traceback: another one would only be in the way.
    """
    if isinstance(error, ProgramFailure):
        return without_secrets(str(error), os.environ)
    first = f"{type(error).__name__}: {error}\n" if isinstance(error, UsageError | ConfigFailure) else ""
    return without_secrets(first, os.environ) + traceback_text(error, os.environ)
