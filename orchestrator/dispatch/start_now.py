"""Starting the jobs of a study beside those of other studies, which hold the slots of this machine."""

from __future__ import annotations

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.slot_waits import request_start_now


def start_now(study: StudyFolder) -> int:
    """Tell the workers of a study on its machine not to wait for slots that others hold; return how many there are.

    Each of them runs as many jobs at a time as if it were alone.
    """
    local = [submission for submission in Ledger(study).live_submissions if submission.array is None]
    for submission in local:
        request_start_now(submission.folder)
    return len(local)
