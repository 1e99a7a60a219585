"""submitit's executor for LSF, made for arrays of thousands and for launchers that die.

One pickle serves all elements of an array, as it does on SLURM: see `seedfold.orchestrator.schedulers.slurm.executor`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.lsf import bsub_reply as replies
from seedfold.orchestrator.schedulers.lsf import queries
from seedfold.orchestrator.schedulers.lsf.directives import Request, is_safe
from seedfold.orchestrator.schedulers.lsf.submitit_plugin import LsfExecutor, script

_PICKLE = "task.pkl"
_SCRIPT = "script.sh"
# submitit counts time-outs; the worker decides instead.
_NEVER = 10**6
_LONGEST_PATH = 200
# Until the worker listens, a warning would kill what it reaches. One that is lost costs what was done since it came.
_DEAF = "trap '' USR2"


class ArrayExecutor(LsfExecutor):
    """Submits one call as an array, or as a job of its own where the request has no count."""

    def __init__(self, folder: Path, python: str, wrapper: str | None, timeout_s: float) -> None:
        super().__init__(folder=folder, max_num_timeout=_NEVER, python=python)
        self._wrapper = wrapper
        self._timeout_s = timeout_s

    def prepare(self, call: Callable[..., None], args: Sequence[Any], request: Request, setup: Sequence[str]) -> Path:
        """Write pickle and script, and return the script."""
        self.folder.mkdir(parents=True, exist_ok=True)
        delayed = DelayedSubmission(call, *args)
        delayed.set_timeout(request.minutes or 0, _NEVER)
        delayed.dump(self.folder / _PICKLE)
        number = "${LSB_JOBID}" if request.count is None else "${LSB_JOBID}_${LSB_JOBINDEX}"
        pattern = "%J" if request.count is None else "%J_%I"
        folder, log = shlex.quote(str(self.folder)), str(self.folder / f"{pattern}.log")
        # What LSF says of the end is appended to what the task itself said, which it writes as it goes.
        asked = replace(request, output=log if is_safe(log) and len(log) < _LONGEST_PATH else "/dev/null")
        lines = [
            _DEAF,
            f'exec >> {folder}/"{number}.log" 2>&1 < /dev/null',
            *setup,
            f'ln -sfn {_PICKLE} {folder}/"{number}_submitted.pkl"',
        ]
        path = Path(self.folder / _SCRIPT)
        path.write_text(script(asked, lines, self._submitit_command_str), encoding="utf-8")
        return path

    @property
    def _submitit_command_str(self) -> str:
        command = super()._submitit_command_str.removeprefix("exec ")
        return f"exec {self._wrapper} {command}" if self._wrapper else f"exec {command}"

    def send(self, path: Path) -> str:
        """Have LSF take the script; return the number that it gives.

        Raises RefusedError if it said no, UnreachableError if nobody knows whether it took it.
        """
        ended = queries.run(["bsub"], self._timeout_s, path.read_text(encoding="utf-8"))
        number = replies.read_number(ended.stdout) or replies.read_number(ended.stderr)
        if number is not None and ended.returncode == 0:
            return number
        said = queries.one_line(ended.stderr, ended.stdout)
        if number is None and ended.returncode and replies.is_refusal(said) and not queries.is_away(said):
            raise RefusedError(replies.clean(said), full=replies.is_full(said))
        raise UnreachableError(f"bsub: {said or 'no answer'}; whether it took the jobs is found out later")
