"""Submits arrays whose intents are on disk, as far as limits allow, and a keeper job behind each array."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.advance_round import AdvanceRound, count_open_tasks, queue_limit, settle_s
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.submission_attempts import (
    begin_attempt,
    last_attempt,
    record_array_id,
    record_refusal,
    record_unanswered,
)
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.failures import Failure

_LATE_KEEPER_EVERY_S = 100.0
"""Within so many seconds one late keeper is enough, whichever process asks for it."""

KeeperFunction = Callable[[str, str], None]
"""The function that a keeper job calls with the root and the study's name."""


class Submitter:
    """Submits the arrays and keepers of one round."""

    def __init__(self, this_round: AdvanceRound, keeper_function: KeeperFunction) -> None:
        self._round, self._keeper_function = this_round, keeper_function

    def find_lost_array_id(self, submission: Submission) -> None:
        """Record the number of an array whose launcher was killed, or got a time-out, before it received the number."""
        if submission.scheduler_id() is None:
            states = self._round.result.task_states.get(submission.token) or {}
            array_ids = sorted({state.array_id for state in states.values()}, key=int)
            if array_ids:
                record_array_id(submission, array_ids[0])

    def submit_intents(self) -> None:
        """Submit the intents in their order, as far as the limit on queued tasks allows."""
        arrays = self._round.live_arrays()
        queued_tasks = sum(count_open_tasks(one) + 1 for one in arrays if not self._is_to_submit(one))
        queue_full = False
        for submission in [one for one in arrays if self._is_to_submit(one)]:
            limit = queue_limit(submission)
            queue_full = queue_full or (limit is not None and queued_tasks + submission.task_count + 1 > limit)
            if not queue_full and self._submit_array(submission):
                queued_tasks += submission.task_count + 1
            elif not submission.is_unsubmittable():
                self._round.result.held_back += submission.task_count
                queue_full = queue_full or self._is_queue_full(submission)
        if self._round.result.held_back and not queued_tasks:
            self._queue_late_keeper([one for one in arrays if self._is_to_submit(one)])

    def _is_queue_full(self, submission: Submission) -> bool:
        attempt = last_attempt(submission)
        return attempt is not None and attempt.refused

    def _queue_late_keeper(self, held_back: Sequence[Submission]) -> None:
        """Queue a keeper that starts later, because no array of this study is queued: other jobs fill the queue."""
        for submission in held_back[:1]:
            if create_once(submission.folder / f"later.{int(time.time() / _LATE_KEEPER_EVERY_S)}", ""):
                self._submit_keeper(submission, None)

    def _is_to_submit(self, submission: Submission) -> bool:
        """Whether a submission was never sent, or was refused, or was sent and is unknown to the scheduler."""
        if submission.scheduler_id() is not None or submission.is_unsubmittable():
            return False
        attempt = last_attempt(submission)
        if attempt is None or attempt.refused:
            return True
        is_unanswered = time.time() - attempt.time > settle_s(submission) and not submission.tasks.records()
        self._round.result.call_again = self._round.result.call_again or not is_unanswered
        return is_unanswered and not attempt.may_be_submitting()

    def _submit_array(self, submission: Submission) -> bool:
        dependencies = self._dependencies(submission)
        if dependencies is None:
            return False
        attempt_number = begin_attempt(submission)
        if attempt_number is None:
            return False
        try:
            array_id = self._call_scheduler(submission, attempt_number, dependencies)
        except RefusedError as error:
            self._record_refusal(submission, attempt_number, error)
            return False
        except UnreachableError as error:
            self._round.result.problems.append(str(error))
            self._round.result.call_again = True
            return False
        record_array_id(submission, array_id)
        self._round.result.submitted += submission.task_count
        self.submit_keeper_once(submission)
        return True

    def _call_scheduler(self, submission: Submission, attempt_number: int, dependencies: Sequence[str]) -> str:
        """Raises what `Backend.submit` raises."""
        try:
            return self._round.backend_for(submission).submit(submission, dependencies)
        except RefusedError:
            raise
        except BaseException:
            record_unanswered(submission, attempt_number)
            raise

    def _record_refusal(self, submission: Submission, attempt_number: int, error: RefusedError) -> None:
        """If the queue is full, the submission is tried again later.

        Else its jobs fail, so that a person sees the reason.
        """
        record_refusal(submission, attempt_number, error)
        if error.queue_full:
            problem = f"the queue is full: {error}"
            if queue_limit(submission) is None:
                study = self._round.study.name
                problem += (
                    f"; if it never accepts {submission.task_count} tasks at a time, run seedfold cancel {study}, then"
                )
                problem += f" seedfold resume {study} cluster.max_submitted=NUMBER"
            self._round.result.problems.append(problem)
            return
        self._round.result.problems.append(f"{submission.token} was refused: {error}")
        failure = Failure("config", f"the scheduler refused the submission: {error}", "refused")
        for job in submission.jobs:
            number = self._round.ledger.record_of(job).latest_attempt + 1
            self._round.events.append("failed", job=job, n=number, peak=0, **failure.to_dict())

    def submit_keeper_once(self, submission: Submission) -> None:
        """Queue a keeper behind an array, unless it has one; the process that sent the array may have died before."""
        array_id = submission.scheduler_id()
        if array_id is not None and create_once(submission.folder / "kept", array_id):
            self._submit_keeper(submission, array_id)

    def _submit_keeper(self, submission: Submission, array_id: str | None) -> None:
        batch = ClusterSettings.parse(submission.settings["cluster"]).scheduler
        if batch is None or not batch.keeper:
            return
        try:
            self._round.backend_for(submission).submit_keeper(submission, array_id, self._keeper_function)
        except (RefusedError, UnreachableError) as error:
            (submission.folder / "kept").unlink(missing_ok=True)
            self._round.result.problems.append(f"no keeper job was queued: {error}")
            self._round.result.call_again = True

    def _dependencies(self, submission: Submission) -> list[str] | None:
        """The numbers of the arrays that have to end before this one starts; None while one of them has no number."""
        assert submission.array is not None
        live = {one.token: one for one in self._round.ledger.live_submissions}
        array_ids = []
        for token in submission.array.after:
            if token in live:
                array_id = live[token].scheduler_id()
                if array_id is None:
                    return None
                array_ids.append(array_id)
        return array_ids
