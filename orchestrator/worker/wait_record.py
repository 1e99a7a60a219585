"""Records who holds the slots for which a worker waits, as long as it holds none itself."""

from __future__ import annotations

from collections.abc import Collection

from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.slot_waits import record_wait
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.worker.slots import Machine
from seedfold.orchestrator.worker.study_limit import StudyLimit


class WaitRecord:
    """What the worker of a submission waits for, written when it changes."""

    def __init__(
        self, root: Root, study: StudyFolder, submission: Submission, machine: Machine, limit: StudyLimit
    ) -> None:
        self._root, self._study, self._submission = root, study, submission
        self._machine, self._limit, self._recorded = machine, limit, ""

    def record(self, waits: bool, running: Collection[str]) -> None:
        """Record whether the worker ``waits``, next to the ``running`` jobs, and for whom."""
        shortage = self._machine.shortage if waits else None
        text = shortage.to_text(self._root.path) + shortage.way_on(self._study.name) if shortage else ""
        if waits and self._limit.is_reached(running):
            text = self._limit.to_text()
        if text != self._recorded:
            self._recorded = text
            record_wait(self._submission.folder, text)
