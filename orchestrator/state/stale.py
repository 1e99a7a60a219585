"""Which results are not what would be computed today, and why: a parent, a file of data, or the code has changed."""

from __future__ import annotations

from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.code.data_reads import Reads, changed_read
from seedfold.orchestrator.code.digests import changed_code
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.state.job_states import Standing, Standings


class Staleness:
    """Why results are not what would be computed today. Each file is looked at once."""

    def __init__(self, standings: Standings, import_roots: tuple[Path, ...] | None = None) -> None:
        """``import_roots`` are where the code would be imported from; None leaves code unchecked."""
        self._standings = standings
        self._import_roots = import_roots
        self._data: dict[str, str | None] = {}
        self._code: dict[tuple[str, str], str | None] = {}

    def of(self, job: JobDescription, standing: Standing) -> str | None:
        """Return ``parent``, ``data FILE`` or ``code FILE`` for a done job whose result is stale; else None."""
        if standing.state != "done" or standing.event is None:
            return None
        event = standing.event
        if any(self._standings.of(parent).attempt != attempt for parent, attempt in event["parents"].items()):
            return "parent"
        if any(parent not in event["parents"] for parent in self._standings.parents(job)):
            return "parent"
        changed = self._changed_data(event["reads"], job)
        if changed:
            return f"data {changed}"
        file = self._changed_code(standing, event)
        return f"code {file}" if file else None

    def _changed_data(self, reads: Reads, job: JobDescription) -> str | None:
        if not reads:
            return None
        # Jobs of a study read the same few files; what they read, and where from, is told apart by its text.
        key = repr((reads, job.config.get("paths")))
        if key not in self._data:
            self._data[key] = changed_read(reads, job.config)
        return self._data[key]

    def _changed_code(self, standing: Standing, event: Event) -> str | None:
        if self._import_roots is None:
            return None
        key = (standing.home.name, event["code"])
        if key not in self._code:
            self._code[key] = changed_code(standing.home, event["code"], self._import_roots)
        return self._code[key]
