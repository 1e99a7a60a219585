"""The throttle of a study, on a cluster: how many tasks of each of its arrays run at a time.

Arrays that may run at the same time share what a person allows. An array runs at the same time as those that neither
wait for it nor are waited for by it, directly or not. Each of these counts at least as many as can run at once, so that
the shares of arrays that do run at once are never more than the whole, as long as there is a task for each.

An array is sent with its share. When the shares change, the scheduler is told, and ``throttle`` in the folder of the
submission says what it was told last. Whoever advances the study does this, and may do it again.
"""

from __future__ import annotations

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.atomic_files import write_atomically
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.advance_round import AdvanceRound, tasks_at_a_time

_FILE_NAME = "throttle"
_NO_LIMIT = 0


def tell_throttles(this_round: AdvanceRound) -> None:
    """Tell the scheduler the shares of arrays with pending tasks, where they have changed."""
    this_round.share_throttle()
    for submission in this_round.live_arrays():
        states = this_round.result.task_states.get(submission.token) or {}
        wanted = this_round.throttle_of(submission)
        if wanted == _told(submission) or not any(state.phase == "pending" for state in states.values()):
            continue
        try:
            this_round.backend_for(submission).throttle(submission, wanted)
        except UnreachableError as error:
            this_round.result.problems.append(f"the scheduler was not told how many jobs may run at a time: {error}")
            this_round.result.call_again = True
            return
        record_told(submission, wanted)


def record_told(submission: Submission, tasks: int | None) -> None:
    """Record with which limit an array was sent or changed."""
    write_atomically(submission.folder / _FILE_NAME, [str(tasks or _NO_LIMIT)])


def _told(submission: Submission) -> int | None:
    try:
        told = int((submission.folder / _FILE_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return tasks_at_a_time(submission, None, 1)
    return None if told == _NO_LIMIT else told
