"""What is to follow on a cluster: idempotent, seconds long, run by every command and by the keeper jobs.

Four steps, each of which may be cut off anywhere and done again by anybody at the same time: find submissions whose
number was lost, close tasks that ended without a word, hand over again what is to be tried again, and send what has
not been sent as far as limits allow. The scheduler is asked once, before the ledger is read, so that what a task told
before it ended is known when its end is judged.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.schedulers.advance_round import AdvanceResult, AdvanceRound
from seedfold.orchestrator.schedulers.array_submission import Submitter
from seedfold.orchestrator.schedulers.ended_tasks import EndedTaskRecorder
from seedfold.orchestrator.schedulers.retries import Retries

# How long a keeper stays, and how often it looks, while there is something that only a later look can tell.
_KEEPER_LIFETIME_S = 1200.0
_KEEPER_PAUSE_S = 10.0


def advance(root: Root, study: StudyFolder) -> AdvanceResult:
    """Take every step that can be taken now. Raises UnreachableError if the scheduler does not answer at all.

    Raises UsageError for the copy of a study.
    """
    refuse_copy(study)
    ledger = Ledger(study)
    if not any(submission.array for submission in ledger.last_submission_of.values()):
        return AdvanceResult()
    this_round = AdvanceRound(root, study, ledger)
    try:
        _run_steps(this_round)
    finally:
        this_round.events.close()
    return this_round.result


def _run_steps(this_round: AdvanceRound) -> None:
    submitter, ended_tasks = Submitter(this_round, keep_going), EndedTaskRecorder(this_round)
    arrays = this_round.live_arrays()
    this_round.report_orphaned()
    this_round.query_schedulers()
    this_round.states.refresh()
    for submission in arrays:
        submitter.find_lost_array_id(submission)
        ended_tasks.close_tasks_of(submission)
        submitter.submit_keeper_once(submission)
    this_round.states.refresh()
    Retries(this_round).make_intents_for_retries()
    this_round.states.refresh()
    submitter.submit_intents()


def keep_going(root: str, study: str) -> None:
    """Start what is to follow in a study: what the keeper job does. Where it is too early to tell, it looks again."""
    end = time.monotonic() + _KEEPER_LIFETIME_S
    while _advance_once(Root(Path(root)), study) and time.monotonic() < end:
        time.sleep(_KEEPER_PAUSE_S)
    sys.exit(0)


def _advance_once(root: Root, study: str) -> bool:
    """Advance once; tell whether that should be done again in a moment."""
    try:
        done = advance(root, root.study_folder(study))
    except UnreachableError as error:
        print(error, flush=True)
        return True
    print(done, flush=True)
    return done.call_again
