"""Sending what has an intent on disk to the scheduler, as far as its limits allow, and a keeper behind each array."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.round import Round, limit_of, open_tasks, settle_s
from seedfold.orchestrator.schedulers.submission_attempts import (
    begin_trial,
    last_trial,
    note_number,
    note_unheard,
    refuse,
)
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.failures import Failure

_LATER_S = 100.0
"""Seconds in which one keeper that comes later is enough, whoever asks for it."""

Keeper = Callable[[str, str], None]
"""What a keeper job runs, given the root and the study."""


class Sending:
    """Submits the arrays and keepers of one round."""

    def __init__(self, this_round: Round, keeper: Keeper) -> None:
        self._round, self._keeper = this_round, keeper

    def find_number(self, submission: Submission) -> None:
        """Note the number of an array whose launcher did not live to hear it, or heard a time-out."""
        if submission.scheduler_id() is None:
            states = self._round.done.answer.get(submission.token) or {}
            numbers = sorted({state.id for state in states.values()}, key=int)
            if numbers:
                note_number(submission, numbers[0])

    def send(self) -> None:
        """Send intents in their order, as far as the limit of what may be queued allows."""
        arrays = self._round.arrays()
        queued = sum(open_tasks(one) + 1 for one in arrays if not self._is_to_send(one))
        full = False
        for submission in [one for one in arrays if self._is_to_send(one)]:
            limit = limit_of(submission)
            full = full or (limit is not None and queued + submission.task_count + 1 > limit)
            if not full and self._send_one(submission):
                queued += submission.task_count + 1
            elif not submission.is_void():
                self._round.done.held += submission.task_count
                full = full or self._queue_is_full(submission)
        if self._round.done.held and not queued:
            self._look_again_later([one for one in arrays if self._is_to_send(one)])

    def _queue_is_full(self, submission: Submission) -> bool:
        trial = last_trial(submission)
        return trial is not None and trial.refused

    def _look_again_later(self, held: Sequence[Submission]) -> None:
        """Nothing of this study is queued, so no keeper will come: strangers fill the queue up to its limit."""
        for submission in held[:1]:
            if create_once(submission.folder / f"later.{int(time.time() / _LATER_S)}", ""):
                self._queue_keeper(submission, None)

    def _is_to_send(self, submission: Submission) -> bool:
        """Whether a submission was never sent, or refused, or is one that nobody has heard of since."""
        if submission.scheduler_id() is not None or submission.is_void():
            return False
        trial = last_trial(submission)
        if trial is None or trial.refused:
            return True
        silent = time.time() - trial.time > settle_s(submission) and not submission.tasks.marks()
        self._round.done.put_off = self._round.done.put_off or not silent
        return silent and not trial.is_under_way()

    def _send_one(self, submission: Submission) -> bool:
        after = self._dependencies(submission)
        if after is None:
            return False
        trial = begin_trial(submission)
        if trial is None:
            return False
        try:
            number = self._submit(submission, trial, after)
        except RefusedError as error:
            self._hear_refusal(submission, trial, error)
            return False
        except UnreachableError as error:
            self._round.done.problems.append(str(error))
            self._round.done.put_off = True
            return False
        note_number(submission, number)
        self._round.done.sent += submission.task_count
        self.send_keeper(submission)
        return True

    def _submit(self, submission: Submission, trial: int, after: Sequence[str]) -> str:
        """Raises what `Backend.submit` raises."""
        try:
            return self._round.backend(submission).submit(submission, after)
        except RefusedError:
            raise
        except BaseException:
            note_unheard(submission, trial)
            raise

    def _hear_refusal(self, submission: Submission, trial: int, error: RefusedError) -> None:
        """Try again later if the queue is full; else the jobs have failed, so that a person sees why."""
        refuse(submission, trial, error)
        if error.full:
            text = f"the queue is full: {error}"
            if limit_of(submission) is None:
                study = self._round.study.name
                text += f"; if it never takes {submission.task_count} tasks at a time: seedfold cancel {study}, then"
                text += f" seedfold resume {study} cluster.max_submitted=NUMBER"
            self._round.done.problems.append(text)
            return
        self._round.done.problems.append(f"{submission.token} was refused: {error}")
        failure = Failure("config", f"the scheduler refused it: {error}", "refused")
        for job in submission.jobs:
            number = self._round.ledger.record(job).latest + 1
            self._round.events.tell("failed", job=job, n=number, peak=0, **failure.to_dict())

    def send_keeper(self, submission: Submission) -> None:
        """Queue a keeper behind an array, unless somebody has; whoever sent the array may have died before."""
        number = submission.scheduler_id()
        if number is not None and create_once(submission.folder / "kept", number):
            self._queue_keeper(submission, number)

    def _queue_keeper(self, submission: Submission, number: str | None) -> None:
        batch = Cluster.parse(submission.settings["cluster"]).batch
        if batch is None or not batch.keeper:
            return
        try:
            self._round.backend(submission).submit_keeper(submission, number, self._keeper)
        except (RefusedError, UnreachableError) as error:
            (submission.folder / "kept").unlink(missing_ok=True)
            self._round.done.problems.append(f"no keeper was queued: {error}")
            self._round.done.put_off = True

    def _dependencies(self, submission: Submission) -> list[str] | None:
        """The numbers of the arrays that have to end before; None while one of them has none."""
        assert submission.array is not None
        live = {one.token: one for one in self._round.ledger.live}
        numbers = []
        for token in submission.array.after:
            if token in live:
                number = live[token].scheduler_id()
                if number is None:
                    return None
                numbers.append(number)
        return numbers
