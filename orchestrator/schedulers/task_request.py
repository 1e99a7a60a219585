"""What one task of an array asks for, the same for all schedulers: its name, time, memory and first lines."""

from __future__ import annotations

import re

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.submissions import Submission, TaskArray
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.settings.scheduler import SchedulerSettings

_TEMPLATE_PROCESS_BYTES = 1024**3
_MIB = 1024**2


def array_name(submission: Submission) -> str:
    """The name of an array, ``STUDY.STAGE.TOKEN``, by which it is found."""
    assert submission.array is not None
    stage = re.sub(r"[^\w.-]", "_", submission.array.stage)
    return f"{submission.folder.parents[1].name}.{stage}.{submission.token}"


def keeper_name(submission: Submission) -> str:
    """The name of the keeper job behind an array."""
    return f"{submission.folder.parents[1].name}.keeper.{submission.token}"


def setup_lines(batch: SchedulerSettings, submission: Submission) -> list[str]:
    """The lines of shell before the work. Raises RefusedError if the snapshot that the task should run is gone."""
    try:
        return [*batch.setup, *submission.setup_lines()]
    except UsageError as error:
        raise RefusedError(str(error)) from None


def time_limit_s(array: TaskArray, batch: SchedulerSettings) -> int:
    """Seconds that a task may take: its jobs, in rounds, and a margin for the time before and after them."""
    rounds = -(-array.per_task // array.side_by_side)
    return array.resources.time_s * rounds + batch.margin_s


def warning_s(array: TaskArray, batch: SchedulerSettings) -> int:
    """How many seconds before the time limit jobs are asked to write a checkpoint."""
    return max(30, min(batch.warning_s, time_limit_s(array, batch) // 4))


def memory_mib(array: TaskArray) -> int:
    """Memory of a task in units of 1024² bytes: for the jobs that it runs side by side, and their template process."""
    return -(-(array.resources.memory_bytes * array.side_by_side + _TEMPLATE_PROCESS_BYTES) // _MIB)


def gpu_count(array: TaskArray, per_gpu: int) -> int:
    """Number of GPUs of a task whose jobs share them, with ``per_gpu`` jobs on each."""
    return -(-array.resources.gpus * array.side_by_side // per_gpu)
