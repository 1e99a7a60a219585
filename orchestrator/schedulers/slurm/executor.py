"""submitit's executor for SLURM, for arrays of thousands of tasks, and safe if the launching process dies.

The script calls the function by its name. submitit itself writes one pickle per element and renames them after `sbatch`
has replied: if the launcher dies in between, its elements wait for files that never appear. Its way to read a pickle on
the node also imports NumPy, which half of the time goes to in which a task starts.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.answer_numbers import is_whole
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.commands import SUBMIT_PATIENCE
from seedfold.orchestrator.schedulers.portable_call import python_arguments
from seedfold.orchestrator.schedulers.slurm import queries

_SCRIPT = "script.sh"
_NO_ANSWER_TEXTS = ("timed out", "Unable to contact", "Connection refused", "Zero Bytes", "Communication connection")
_BEFORE_SIGNALS = 128
"""A shell around the command adds the number of the signal that ended it to this."""
# Until the worker handles signals, a warning would kill the process. A lost warning costs only the work since it came.
_IGNORE_WARNING_LINE = "trap '' USR2"
_QUEUE_FULL = re.compile(r"MaxSubmit|temporarily unable to accept")
# If SLURM names no limit, it may be the limit on queued jobs. A limit with another name never allows the submission.
_MAYBE_QUEUE_FULL = "job submit limit"
_NAMED_LIMIT = re.compile(r"error: \w+Limit\b")


def _is_refusal(code: int, message: str) -> bool:
    """Whether SLURM has said no. An `sbatch` that a signal ended, or that ends without a word, has not said so."""
    was_killed = code < 0 or code - _BEFORE_SIGNALS in set(signal.Signals)
    return bool(code and message) and not was_killed and not any(text in message for text in _NO_ANSWER_TEXTS)


def is_queue_full(message: str) -> bool:
    """Whether a refusal is only temporary, because too many jobs are queued."""
    if _QUEUE_FULL.search(message):
        return True
    return _MAYBE_QUEUE_FULL in message and not _NAMED_LIMIT.search(message)


class ArrayExecutor(submitit.SlurmExecutor):
    """Submits one call as an array of ``count`` elements, or as a single job if ``count`` is None."""

    def __init__(self, folder: Path, python: str, wrapper: str | None, timeout_s: float) -> None:
        super().__init__(folder=folder, python=python)
        self._wrapper = wrapper
        self._timeout_s = timeout_s

    @classmethod
    def affinity(cls) -> int:
        """Never chosen by submitit itself; submitit would look for `srun`, which is not needed here."""
        return 1

    def write_script(self, function: Callable[..., None], args: Sequence[Any], options: Mapping[str, Any]) -> Path:
        """Write the script, and return its path."""
        self.update_parameters(
            time=options["time"],
            setup=[_IGNORE_WARNING_LINE, *options["setup"]],
            stderr_to_stdout=True,
            use_srun=False,
            wckey=None,
            array_parallelism=options["throttle"] or options["count"] or 1,
            additional_parameters={**options["sbatch"], "output": str(self.folder / options["log"])},
        )
        if options["count"] is not None:
            self.parameters["map_count"] = options["count"]
        self.folder.mkdir(parents=True, exist_ok=True)
        # Python replaces the shell, so that Python receives the warning signal.
        wrapper = f"{self._wrapper} " if self._wrapper else ""
        command = f"exec {wrapper}{self.python} {shlex.join(python_arguments(function, args))}"
        script = Path(self.folder / _SCRIPT)
        script.write_text(self._make_submission_file_text(command, ""), encoding="utf-8")
        return script

    def submit_script(self, script: Path) -> str:
        """Submit the script to SLURM; return the number of the job.

        Raises RefusedError if SLURM refused it, UnreachableError if it is unknown whether SLURM accepted it.
        """
        process = queries.run(["sbatch", "--parsable", str(script)], SUBMIT_PATIENCE * self._timeout_s)
        message = " ".join(process.stderr.split())
        number = process.stdout.strip().split(";")[0]
        if process.returncode == 0 and is_whole(number):
            return number
        if _is_refusal(process.returncode, message):
            raise RefusedError(message, queue_full=is_queue_full(message))
        raise UnreachableError(
            f"sbatch: {message or process.stdout.strip() or 'no reply'};"
            " a later command finds out whether the jobs were accepted"
        )

    def test_script(self, script: Path) -> None:
        """Let SLURM check a script without submitting it.

        Raises RefusedError if SLURM would refuse it, UnreachableError if SLURM does not reply.
        """
        process = queries.run(["sbatch", "--test-only", str(script)], self._timeout_s)
        if process.returncode:
            message = " ".join(process.stderr.split())
            if _is_refusal(process.returncode, message):
                raise RefusedError(message, queue_full=is_queue_full(message))
            raise UnreachableError(f"sbatch: {message or 'no reply'}")
