"""submitit's executor for SLURM, made for arrays of thousands and for launchers that die.

One pickle serves all elements of an array: the script's first line gives it the name that submitit's side on the node
looks for, built from the element's own number. submitit writes a pickle per element and renames them when `sbatch` has
answered, so that elements of a launcher that died in between wait for names that never come.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import DelayedSubmission

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.portable_call import PortableCall
from seedfold.orchestrator.schedulers.slurm import queries

_PICKLE = "task.pkl"
_SCRIPT = "script.sh"
# submitit counts time-outs, and takes every end under a limit of ten minutes for one; the worker decides instead.
_MAX_TIMEOUTS = 10**6
_NO_ANSWER_TEXTS = ("timed out", "Unable to contact", "Connection refused", "Zero Bytes", "Communication connection")
# Until the worker listens, a warning would kill what it reaches. One that is lost costs what was done since it came.
_IGNORE_WARNING_LINE = "trap '' USR2"
_QUEUE_FULL = re.compile(r"MaxSubmit|temporarily unable to accept")
# Where SLURM names no limit, it may be the one on what is queued; a limit of another name stays in the way for ever.
_MAYBE_QUEUE_FULL = "job submit limit"
_NAMED_LIMIT = re.compile(r"error: \w+Limit\b")


def is_queue_full(message: str) -> bool:
    """Whether a refusal is for now only: so many jobs are queued that it takes no more."""
    if _QUEUE_FULL.search(message):
        return True
    return _MAYBE_QUEUE_FULL in message and not _NAMED_LIMIT.search(message)


class ArrayExecutor(submitit.SlurmExecutor):
    """Submits one call as an array of ``count`` elements, or as a job of its own where ``count`` is None."""

    def __init__(self, folder: Path, python: str, wrapper: str | None, timeout_s: float) -> None:
        super().__init__(folder=folder, max_num_timeout=_MAX_TIMEOUTS, python=python)
        self._wrapper = wrapper
        self._timeout_s = timeout_s

    @classmethod
    def affinity(cls) -> int:
        """Not to be chosen by submitit itself; and what it looks for, `srun`, is not needed."""
        return 1

    def write_script(self, function: Callable[..., None], args: Sequence[Any], options: Mapping[str, Any]) -> Path:
        """Write pickle and script, and return the script."""
        self.update_parameters(
            time=options["time"],
            setup=[
                _IGNORE_WARNING_LINE,
                *options["setup"],
                self._link_pickle_line(is_array=options["count"] is not None),
            ],
            stderr_to_stdout=True,
            use_srun=False,
            wckey=None,
            array_parallelism=options["throttle"] or options["count"] or 1,
            additional_parameters={**options["sbatch"], "output": str(self.folder / options["log"])},
        )
        if options["count"] is not None:
            self.parameters["map_count"] = options["count"]
        self.folder.mkdir(parents=True, exist_ok=True)
        delayed = DelayedSubmission(PortableCall(function), *args)
        delayed.set_timeout(options["time"], _MAX_TIMEOUTS)
        delayed.dump(self.folder / _PICKLE)
        script = Path(self.folder / _SCRIPT)
        script.write_text(self._make_submission_file_text(self._submitit_command_str, ""), encoding="utf-8")
        return script

    def _link_pickle_line(self, is_array: bool) -> str:
        folder = shlex.quote(str(self.folder))
        number = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" if is_array else "${SLURM_JOB_ID}"
        return f'ln -sfn {_PICKLE} {folder}/"{number}_submitted.pkl"'

    @property
    def _submitit_command_str(self) -> str:
        # Python takes the place of the shell, so that the warning signal is its own.
        wrapper = f"{self._wrapper} " if self._wrapper else ""
        return f"exec {wrapper}{super()._submitit_command_str}"

    def submit_script(self, script: Path) -> str:
        """Have SLURM take the script; return the number that it gives.

        Raises RefusedError if it said no, UnreachableError if nobody knows whether it took it.
        """
        process = queries.run(["sbatch", "--parsable", str(script)], self._timeout_s)
        message = " ".join(process.stderr.split())
        number = process.stdout.strip().split(";")[0]
        if process.returncode == 0 and number.isdigit():
            return number
        if process.returncode == 0 or any(word in message for word in _NO_ANSWER_TEXTS):
            raise UnreachableError(
                f"sbatch: {message or process.stdout!r}; whether it took the jobs is found out later"
            )
        raise RefusedError(message, queue_full=is_queue_full(message))

    def test_script(self, script: Path) -> None:
        """Have SLURM look at a script. Raises RefusedError if it would not take it."""
        process = queries.run(["sbatch", "--test-only", str(script)], self._timeout_s)
        if process.returncode:
            message = " ".join(process.stderr.split())
            raise RefusedError(message, queue_full=is_queue_full(message))
