"""Throttles a study: at most so many of its jobs run at a time, also of those that are submitted already."""

from __future__ import annotations

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.events import EventWriter, time_after
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger


def throttle(root: Root, name: str, limit: int | None) -> tuple[str, ...]:
    """Have at most ``limit`` jobs of a study run at a time, None for any number. Jobs that run already go on.

    Returns problems with the scheduler. Raises UsageError for a limit below 1, and UnreachableError if the scheduler
    does not reply: it is told then by the next command.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"throttle {limit}: must be at least 1; to begin nothing more: seedfold hold {name}")
    study = root.existing_study(name)
    refuse_copy(study)
    ledger = Ledger(study)
    writer = EventWriter(study.events_folder)
    writer.append("throttled", t=time_after([ledger.throttle.time]), jobs={}, limit=limit)
    writer.close()
    if not any(submission.array for submission in ledger.live_submissions):
        return ()
    from seedfold.orchestrator.schedulers.advance import advance

    return tuple(advance(root, study, ledger).problems)
