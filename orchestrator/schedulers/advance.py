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
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.schedulers.ended_tasks import EndedTasks
from seedfold.orchestrator.schedulers.retries import Retries
from seedfold.orchestrator.schedulers.round import Advanced, Round
from seedfold.orchestrator.schedulers.sending import Sending

# How long a keeper stays, and how often it looks, while there is something that only a later look can tell.
_KEEPER_S = 1200.0
_KEEPER_PAUSE_S = 10.0


def advance(root: Root, study: StudyFolder) -> Advanced:
    """Take every step that can be taken now. Raises UnreachableError if the scheduler does not answer at all.

    Raises UsageError for the copy of a study.
    """
    refuse_copy(study)
    ledger = Ledger(study)
    if not any(submission.array for submission in ledger.handed_over.values()):
        return Advanced()
    this_round = Round(root, study, ledger)
    try:
        _take_steps(this_round)
    finally:
        this_round.events.close()
    return this_round.done


def _take_steps(this_round: Round) -> None:
    sending, ended = Sending(this_round, keep_going), EndedTasks(this_round)
    arrays = this_round.arrays()
    this_round.report_left_behind()
    this_round.ask()
    this_round.standings.refresh()
    for submission in arrays:
        sending.find_number(submission)
        ended.close(submission)
        sending.send_keeper(submission)
    this_round.standings.refresh()
    Retries(this_round).hand_over()
    this_round.standings.refresh()
    sending.send()


def keep_going(root: str, study: str) -> None:
    """Start what is to follow in a study: what the keeper job does. Where it is too early to tell, it looks again."""
    end = time.monotonic() + _KEEPER_S
    while _keep(Root(Path(root)), study) and time.monotonic() < end:
        time.sleep(_KEEPER_PAUSE_S)
    sys.exit(0)


def _keep(root: Root, study: str) -> bool:
    """Advance once; tell whether that should be done again in a moment."""
    try:
        done = advance(root, root.study(study))
    except UnreachableError as error:
        print(error, flush=True)
        return True
    print(done, flush=True)
    return done.put_off
