"""submitit's executor for LSF, for arrays of thousands of tasks, and safe if the launching process dies.

The script calls the function by its name, as on SLURM: see `seedfold.orchestrator.schedulers.slurm.executor`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.commands import SUBMIT_PATIENCE
from seedfold.orchestrator.schedulers.lsf import bsub_reply, queries
from seedfold.orchestrator.schedulers.lsf.directives import JobRequest, is_safe
from seedfold.orchestrator.schedulers.lsf.submitit_plugin import LsfExecutor, make_script
from seedfold.orchestrator.schedulers.portable_call import python_arguments

_SCRIPT = "script.sh"
_LONGEST_PATH = 200
# Until the worker handles signals, a warning would kill the process. A lost warning costs only the work since it came.
_IGNORE_WARNING_LINE = "trap '' USR2"


class ArrayExecutor(LsfExecutor):
    """Submits one call as an array, or as a single job if the request has no count."""

    def __init__(self, folder: Path, python: str, wrapper: str | None, timeout_s: float) -> None:
        super().__init__(folder=folder, python=python)
        self._wrapper = wrapper
        self._timeout_s = timeout_s

    def write_script(
        self, function: Callable[..., None], args: Sequence[Any], request: JobRequest, setup: Sequence[str]
    ) -> Path:
        """Write the script, and return its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = "${LSB_JOBID}" if request.array_size is None else "${LSB_JOBID}_${LSB_JOBINDEX}"
        pattern = "%J" if request.array_size is None else "%J_%I"
        folder, log = shlex.quote(str(self.folder)), str(self.folder / f"{pattern}.log")
        # The task writes its own log while it runs, and LSF appends its report of the end.
        logged_request = replace(request, output=log if is_safe(log) and len(log) < _LONGEST_PATH else "/dev/null")
        lines = [
            _IGNORE_WARNING_LINE,
            f'exec >> {folder}/"{number}.log" 2>&1 < /dev/null',
            *setup,
        ]
        wrapper = f"{self._wrapper} " if self._wrapper else ""
        command = f"exec {wrapper}{self.python} {shlex.join(python_arguments(function, args))}"
        path = Path(self.folder / _SCRIPT)
        path.write_text(make_script(logged_request, lines, command), encoding="utf-8")
        return path

    def submit_script(self, script_path: Path) -> str:
        """Submit the script to LSF; return the number of the job.

        Raises RefusedError if LSF refused it, UnreachableError if it is unknown whether LSF accepted it.
        """
        process = queries.run(["bsub"], SUBMIT_PATIENCE * self._timeout_s, script_path.read_text(encoding="utf-8"))
        number = bsub_reply.parse_job_number(process.stdout) or bsub_reply.parse_job_number(process.stderr)
        if number is not None and process.returncode == 0:
            return number
        message = queries.join_words(process.stderr, process.stdout)
        if (
            number is None
            and process.returncode
            and bsub_reply.is_refusal(message)
            and not queries.is_lsf_down(message)
        ):
            raise RefusedError(bsub_reply.clean_message(message), queue_full=bsub_reply.is_queue_full(message))
        raise UnreachableError(
            f"bsub: {message or 'no reply'}; a later command finds out whether the jobs were accepted"
        )
