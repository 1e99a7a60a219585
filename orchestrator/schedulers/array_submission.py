"""Submits arrays whose intents are on disk, as far as limits allow."""

from __future__ import annotations

import time
from collections.abc import Sequence

from seedfold.jobs.errors import UnreachableError, count_noun
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.advance_round import AdvanceRound, count_open_tasks, queue_limit, settle_s
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.cancelled_tasks import cancelled_tasks
from seedfold.orchestrator.schedulers.submission_attempts import (
    begin_attempt,
    last_attempt,
    record_array_id,
    record_refusal,
    record_unanswered,
)
from seedfold.orchestrator.schedulers.throttles import record_told
from seedfold.orchestrator.settings.cluster import EXECUTOR_NAMES, ClusterSettings
from seedfold.orchestrator.settings.failures import REFUSED, Failure

_KEEPER = 1
"""The keeper job is one of the tasks that are queued."""


class Submitter:
    """Submits the arrays of one round."""

    def __init__(self, this_round: AdvanceRound) -> None:
        self._round = this_round

    def find_lost_array_id(self, submission: Submission) -> None:
        """Record the number of an array whose launcher was killed, or got a time-out, before it received the number."""
        if submission.scheduler_id() is None:
            states = self._round.result.task_states.get(submission.token) or {}
            array_ids = sorted({state.array_id for state in states.values()}, key=int)
            if array_ids:
                record_array_id(submission, array_ids[0])

    def submit_intents(self) -> list[Submission]:
        """Submit the intents in their order, as far as the limit on queued tasks allows; return those held back."""
        arrays = self._round.live_arrays()
        queued_tasks = sum(count_open_tasks(one) for one in arrays if not self._is_to_submit(one))
        held_back = []
        queue_full = False
        for submission in [one for one in arrays if self._is_to_submit(one)]:
            if self._round.is_on_hold(submission):
                self._round.result.on_hold.add(submission.token)
                continue
            limit = queue_limit(submission)
            queue_full = queue_full or (limit is not None and queued_tasks + submission.task_count + _KEEPER > limit)
            if not queue_full and self._submit_array(submission):
                queued_tasks += submission.task_count
            elif not submission.is_unsubmittable() and self._is_to_submit(submission):
                self._round.result.held_back += submission.task_count
                held_back.append(submission)
                queue_full = queue_full or self._is_queue_full(submission)
        return held_back

    def _is_queue_full(self, submission: Submission) -> bool:
        attempt = last_attempt(submission)
        return attempt is not None and attempt.refused

    def _is_to_submit(self, submission: Submission) -> bool:
        """Whether a submission was never sent, or was refused, or was sent and is unknown to the scheduler."""
        if submission.scheduler_id() is not None or submission.is_unsubmittable():
            return False
        attempt = last_attempt(submission)
        if attempt is None or attempt.refused:
            return True
        if len(cancelled_tasks(submission, self._round.ledger)) == submission.task_count:
            return False
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
            self._round.result.unanswered += submission.task_count
            self._round.result.call_again = True
            return False
        if self._round.ledger.throttle.limit is not None:
            record_told(submission, self._round.throttle_of(submission))
        record_array_id(submission, array_id)
        self._round.result.submitted += submission.task_count
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
        name = EXECUTOR_NAMES[ClusterSettings.parse(submission.settings["cluster"]).executor]
        self._round.result.refused_jobs += len(submission.jobs)
        self._round.result.refusals.append(
            f"{count_noun(len(submission.jobs), 'job was', 'jobs were')} not submitted: {name} said: {error}; correct"
            f" it with seedfold launch …, or with seedfold resume {self._round.study.name} cluster.KEY=VALUE"
            " (settings of the cluster are taken from the new command)"
        )
        failure = Failure("config", f"the scheduler refused the submission: {error}", REFUSED)
        for job in submission.jobs:
            number = self._round.ledger.record_of(job).latest_attempt + 1
            self._round.events.append("failed", job=job, n=number, peak=0, **failure.to_dict())

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
