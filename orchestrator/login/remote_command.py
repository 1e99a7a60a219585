"""The command line for the shell of the login host: one line that every login shell reads in the same way.

The line passes a script to `sh`, encoded in letters and digits. The script starts a login shell of bash, so that
`seedfold` is found as after a normal login. What the user's profile prints is dropped, and what the set-up lines print
goes to standard error: standard output has only what the command prints.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Mapping, Sequence

from seedfold.orchestrator.settings.login import LoginHost

CALLER_VERSION, WATCH_STANDARD_INPUT = "SEEDFOLD_CALLER", "SEEDFOLD_LEASH"
"""Variables with the caller's version of Seedfold, and whether its standard input signals its end and its
interrupts."""
_SAVE_STREAMS = "exec 3>&1 4<&0 5>&2 </dev/null >/dev/null 2>&1"
_SET_UP_STREAMS = "exec >&5 2>&5"
_COMMAND_STREAMS = "<&4 >&3 3>&- 4<&- 5>&-"
_ERROR_TEXT = "seedfold: {host}: {what}: {problem}"


OUTPUT_BEGINS = b"seedfold begins here\n"
"""The mark before the output of a line. What comes before it was printed by files that the user's shell reads."""


def shell_line(script: str, terminal: bool = False) -> str:
    """Return a script as one line for ssh; without a ``terminal``, `OUTPUT_BEGINS` is printed first."""
    if not terminal:
        script = f"echo {OUTPUT_BEGINS.decode().strip()}\n{script}"
    encoded = base64.b64encode(os.fsencode(script)).decode()
    return f"sh -c 'eval \"$(echo {encoded} | base64 -d)\"'"


def seedfold_line(
    login: LoginHost,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: str | None = None,
    terminal: bool = False,
) -> str:
    """Return the line that runs ``seedfold WORDS…`` on the host in ``folder``, by default in the home folder."""
    program = shlex.split(login.command, comments=False)[0]
    change_folder = f"cd -- {shlex.quote(folder)}" if folder else 'cd "$HOME"'
    script_lines = [
        _SET_UP_STREAMS,
        *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
        *login.setup,
        f"{change_folder} || {_fail_command(login, folder or 'the home folder', 'cannot be entered')}",
        f"command -v {shlex.quote(program)} >/dev/null || "
        + _fail_command(
            login, program, "command not found on the host; set cluster.login.command or cluster.login.setup"
        ),
        f"exec {login.command} {shlex.join(arguments)} {_COMMAND_STREAMS}",
    ]
    return shell_line(f"{_SAVE_STREAMS}\nexec bash -l -c {shlex.quote(chr(10).join(script_lines))}", terminal)


def _fail_command(login: LoginHost, subject: str, problem: str) -> str:
    text = _ERROR_TEXT.format(host=login.host, what=subject, problem=problem)
    return f"{{ echo {shlex.quote(text)} >&2; exit 2; }}"
