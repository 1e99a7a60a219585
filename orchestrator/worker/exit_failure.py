"""Why the process of an attempt ended, from what it has said and how it ended."""

from __future__ import annotations

import signal
import time

from seedfold.orchestrator.settings.failures import Failure, failure_from_exit
from seedfold.orchestrator.worker.messages import Message
from seedfold.orchestrator.worker.oom_counters import count_oom_kills
from seedfold.orchestrator.worker.running_attempt import RunningAttempt

# When a whole task ends, for example because a node shuts down, its processes get signals one by one. Only if the
# worker is still alive, and has got none, so many seconds later was the job alone killed.
_TASK_KILL_S = 3.0
_SIGNALS_OF_A_TASKS_END = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT}


def failure_of_exit(running: RunningAttempt, exit_message: Message, is_scheduled: bool) -> tuple[Failure, int]:
    """Return the failure of an attempt whose process has ended, and its peak memory in bytes.

    Under a scheduler it waits a moment first, if perhaps the whole task has been told to end.
    """
    if is_scheduled and -exit_message["code"] in _SIGNALS_OF_A_TASKS_END:
        time.sleep(_TASK_KILL_S)
    peak = max(exit_message["peak"], running.peak_bytes)
    if running.last_message is not None and running.last_message["m"] == "failed":
        told = running.last_message
        return Failure(told["kind"], told["reason"], told["digest"]), peak
    return failure_from_exit(exit_message["code"], peak, count_oom_kills() > running.oom_kills_before), peak
