"""What one task of an array asks for, whatever the scheduler: its name, time, memory and first lines."""

from __future__ import annotations

import re

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.submissions import Submission, TaskArray
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.settings.scheduler import SchedulerSettings

_TEMPLATE_PROCESS_BYTES = 1024**3
_MIB = 1024**2


def array_name(submission: Submission) -> str:
    """``STUDY.STAGE.TOKEN``: what an array is called, and found by."""
    assert submission.array is not None
    stage = re.sub(r"[^\w.-]", "_", submission.array.stage)
    return f"{submission.folder.parents[1].name}.{stage}.{submission.token}"


def keeper_name(submission: Submission) -> str:
    """What the keeper behind an array is called."""
    return f"{submission.folder.parents[1].name}.keeper.{submission.token}"


def setup_lines(batch: SchedulerSettings, submission: Submission) -> list[str]:
    """Lines of shell before the work. Raises RefusedError if the code that it is to run is gone."""
    try:
        return [*batch.setup, *submission.setup_lines()]
    except UsageError as error:
        raise RefusedError(str(error)) from None


def time_limit_s(array: TaskArray, batch: SchedulerSettings) -> int:
    """Seconds that a task may take: its jobs in rounds, and a margin for what comes before and after."""
    rounds = -(-array.per_task // array.side_by_side)
    return array.resources.time_s * rounds + batch.margin_s


def warning_s(array: TaskArray, batch: SchedulerSettings) -> int:
    """Seconds before the limit at which jobs are asked for a checkpoint."""
    return max(30, min(batch.warning_s, time_limit_s(array, batch) // 4))


def memory_mib(array: TaskArray) -> int:
    """Memory of a task in units of 1024² bytes: for the jobs that it holds, and what they are forked from."""
    return -(-(array.resources.memory_bytes * array.side_by_side + _TEMPLATE_PROCESS_BYTES) // _MIB)


def gpu_count(array: TaskArray, per_gpu: int) -> int:
    """GPUs of a task whose jobs share them, ``per_gpu`` on each."""
    return -(-array.resources.gpus * array.side_by_side // per_gpu)
