"""What the other side's shell is told: one line that every login shell reads alike, whatever the arguments hold.

The line hands a script to `sh` in letters and digits. The script starts a login shell of bash, so that `seedfold` is
found as when one logs in. What the user's profile prints is dropped, what set-up lines print goes to standard error:
standard output is the command's.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Mapping, Sequence

from seedfold.orchestrator.settings.login import LoginHost

CALLER_VERSION, WATCH_STANDARD_INPUT = "SEEDFOLD_CALLER", "SEEDFOLD_LEASH"
"""Version of the Seedfold that asks; whether standard input says when it is gone, and when it was interrupted."""
_SAVE_STREAMS = "exec 3>&1 4<&0 5>&2 </dev/null >/dev/null 2>&1"
_SET_UP_STREAMS = "exec >&5 2>&5"
_COMMAND_STREAMS = "<&4 >&3 3>&- 4<&- 5>&-"
_ERROR_TEXT = "seedfold: {host}: {what}: {problem}"


OUTPUT_BEGINS = b"seedfold begins here\n"
"""What comes before the output of a line: what is printed before is that of files which the user's shell reads."""


def shell_line(script: str, terminal: bool = False) -> str:
    """Return a script as one line for ssh; without a ``terminal``, `OUTPUT_BEGINS` is printed before all."""
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
    """Return the line that runs ``seedfold WORDS…`` there in ``folder``, by default at home."""
    program = shlex.split(login.command, comments=False)[0]
    change_folder = f"cd -- {shlex.quote(folder)}" if folder else 'cd "$HOME"'
    script_lines = [
        _SET_UP_STREAMS,
        *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
        *login.setup,
        f"{change_folder} || {_fail_command(login, folder or 'the home folder', 'cannot be entered')}",
        f"command -v {shlex.quote(program)} >/dev/null || "
        + _fail_command(login, program, "no such command there; name it with cluster.login.command or .setup"),
        f"exec {login.command} {shlex.join(arguments)} {_COMMAND_STREAMS}",
    ]
    return shell_line(f"{_SAVE_STREAMS}\nexec bash -l -c {shlex.quote(chr(10).join(script_lines))}", terminal)


def _fail_command(login: LoginHost, subject: str, problem: str) -> str:
    text = _ERROR_TEXT.format(host=login.host, what=subject, problem=problem)
    return f"{{ echo {shlex.quote(text)} >&2; exit 2; }}"
