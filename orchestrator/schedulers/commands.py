"""Runs a scheduler's commands: each has a time limit, and a missing reply is an error."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from seedfold.jobs.errors import UnreachableError

SUBMIT_PATIENCE = 3
"""How many times as long as for a query a reply to a submission is waited for: a lost reply takes longer to find."""


def run(
    command: Sequence[str], timeout_s: float, environment: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command with ``stdin`` on its standard input.

    Raises UnreachableError if the command is missing or does not end in time.
    """
    try:
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=environment,
            errors="replace",
        )
    except (FileNotFoundError, PermissionError):
        raise UnreachableError(f"{command[0]}: command not found; run this on a machine of the cluster") from None
    except subprocess.TimeoutExpired:
        raise UnreachableError(
            f"{command[0]} did not reply within {timeout_s:g} s; the jobs are not affected"
        ) from None
