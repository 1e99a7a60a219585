"""What other machines have done to jobs that seem lost, past the caches of this machine."""

from __future__ import annotations

import time
from pathlib import Path

from seedfold.orchestrator.ledger.copy_origin import is_copy
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.past_caches import can_open, longest_cache_s, look_past_caches
from seedfold.results.store.published import RESULT_FILE


class FreshViews:
    """Refreshes what this machine sees of lost jobs; of each folder only so often as it may be old."""

    def __init__(self) -> None:
        self._looked_at: dict[Path, float] = {}

    def refresh(self, ledger: Ledger, job_id: str, attempt: int) -> bool:
        """Refresh what is seen of an attempt; return False if that changes nothing, because nothing is hidden."""
        study = ledger.study
        longest_s = longest_cache_s(study.path)
        if not longest_s or is_copy(study):
            return False
        if self._is_due(study.events_folder, longest_s):
            ledger.look_past_caches()
        result = study.result_folder(job_id, attempt)
        if self._is_due(result.parent, longest_s):
            look_past_caches(result.parent)
        record = ledger.record_of(job_id).last_events.get(attempt, {})
        for name in (*record.get("files", ()), RESULT_FILE):
            can_open(result / name)
        return True

    def _is_due(self, folder: Path, longest_s: float) -> bool:
        now = time.monotonic()
        if now - self._looked_at.get(folder, -longest_s) < longest_s:
            return False
        self._looked_at[folder] = now
        return True
