"""Advances a study on a cluster: does whatever can be done now.

Takes seconds, may be repeated; every command and the keeper jobs call it.

There are eight steps: find the numbers of submissions whose reply was lost, take tasks with cancelled jobs out of the
queue, record the ends of tasks that ended without recording it, write intents for jobs that have to be tried again,
let a search decide what is tried next and write intents for its tasks, tell the scheduler how many tasks may run at a
time, submit the intents as far as limits allow, and queue a keeper job
that calls `advance` later. Each step may be interrupted at any point and repeated by several processes at the same
time. The scheduler is queried for its tasks once, before the ledger is read, so that everything that a task recorded
before its end is known when its end is examined.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from seedfold.jobs.errors import UnreachableError
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.schedulers.advance_round import AdvanceResult, AdvanceRound
from seedfold.orchestrator.schedulers.array_submission import Submitter
from seedfold.orchestrator.schedulers.cancelled_tasks import remove_cancelled_from_queue
from seedfold.orchestrator.schedulers.ended_tasks import EndedTaskRecorder
from seedfold.orchestrator.schedulers.keepers import Keepers, record_begun
from seedfold.orchestrator.schedulers.retries import Retries
from seedfold.orchestrator.schedulers.search_pools import SearchPools
from seedfold.orchestrator.schedulers.throttles import tell_throttles
from seedfold.orchestrator.worker.notification import notify_of_end

# How long a keeper stays, and how often it calls `advance`, while only a later call can know more.
_KEEPER_LIFETIME_S = 1200.0
_KEEPER_PAUSE_S = 10.0


def advance(root: Root, study: StudyFolder, ledger: Ledger | None = None) -> AdvanceResult:
    """Take every step that can be taken now. Raises UnreachableError if the scheduler does not reply at all.

    ``ledger`` is that of the study, if the caller has read it already. Raises UsageError for the copy of a study.
    """
    refuse_copy(study)
    if ledger is None:
        ledger = Ledger(study)
    else:
        ledger.refresh()
    if not any(submission.array for submission in ledger.last_submission_of.values()) and not _searches(ledger):
        return AdvanceResult()
    this_round = AdvanceRound(root, study, ledger)
    try:
        _run_steps(this_round)
    finally:
        this_round.events.close()
    this_round.states.refresh()
    if note := notify_of_end(this_round.states):
        this_round.result.problems.append(note)
    return this_round.result


def _searches(ledger: Ledger) -> bool:
    """Whether the study searches, and has been launched: the tasks of its search are submitted here."""
    header = ledger.plans.header
    return header is not None and SEARCH in header.settings and bool(ledger.plans.trial_jobs)


def _run_steps(this_round: AdvanceRound) -> None:
    submitter, ended_tasks = Submitter(this_round), EndedTaskRecorder(this_round)
    arrays = this_round.live_arrays()
    this_round.report_orphaned()
    this_round.query_schedulers()
    this_round.states.refresh()
    for submission in arrays:
        submitter.find_lost_array_id(submission)
    try:
        remove_cancelled_from_queue(this_round.ledger)
    except UnreachableError as error:
        this_round.result.problems.append(f"cancelled jobs are still in the queue: {error}")
    for submission in arrays:
        ended_tasks.close_tasks_of(submission)
    this_round.states.refresh()
    Retries(this_round).make_intents_for_retries()
    this_round.states.refresh()
    SearchPools(this_round).keep_up()
    this_round.states.refresh()
    tell_throttles(this_round)
    held_back = submitter.submit_intents()
    Keepers(this_round, keep_going).queue_if_needed(held_back)


def keep_going(root: str, study: str, number: str = "") -> None:
    """Advance a study: the function of the keeper job. It calls `advance` again while a later call can know more.

    ``number`` is that of the keeper; earlier versions of Seedfold queued keepers without numbers.
    """
    if number:
        record_begun(Root(Path(root)).study_folder(study), number)
    end = time.monotonic() + _KEEPER_LIFETIME_S
    while _advance_once(Root(Path(root)), study) and time.monotonic() < end:
        time.sleep(_KEEPER_PAUSE_S)
    sys.exit(0)


def _advance_once(root: Root, study: str) -> bool:
    """Advance once; return whether it should be called again in a moment."""
    try:
        done = advance(root, root.study_folder(study))
    except UnreachableError as error:
        print(error, flush=True)
        return True
    print(done, flush=True)
    return done.call_again
