"""Records that a person has resumed jobs."""

from __future__ import annotations

from collections.abc import Sequence

from seedfold.orchestrator.ledger.events import EventWriter, time_after
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger


def record_resumed(study: StudyFolder, ledger: Ledger, stopped_jobs: Sequence[str]) -> None:
    """Record that failed or cancelled jobs are resumed, so that they have all their retries again."""
    if stopped_jobs:
        writer = EventWriter(study.events_folder)
        now = time_after(ledger.record_of(job).cancelled_at for job in stopped_jobs)
        writer.append("resumed", t=now, jobs={job: ledger.record_of(job).latest_attempt for job in stopped_jobs})
        writer.close()
