"""Which results are stale, and why: a parent, a data file or the code has changed since."""

from __future__ import annotations

from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.code.data_reads import FileReads, find_changed_file
from seedfold.orchestrator.code.digests import find_changed_code
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.state.job_states import JobState, JobStates


class StalenessChecker:
    """Finds why results are stale. Each file is read once."""

    def __init__(self, states: JobStates, import_roots: tuple[Path, ...] | None = None) -> None:
        """``import_roots`` are the folders from which the code would be imported; with None the code is not checked."""
        self._states = states
        self._import_roots = import_roots
        self._data_cache: dict[str, str | None] = {}
        self._code_cache: dict[tuple[str, str], str | None] = {}

    def stale_reason(self, job: JobDescription, job_state: JobState) -> str | None:
        """Return ``parent``, ``data FILE`` or ``code FILE`` for a done job whose result is stale; else None."""
        if job_state.state != "done" or job_state.event is None:
            return None
        event = job_state.event
        if any(self._states.of(parent).attempt != attempt for parent, attempt in event["parents"].items()):
            return "parent"
        if any(parent not in event["parents"] for parent in self._states.needed_parents(job)):
            return "parent"
        changed = self._find_changed_data(event["reads"], job)
        if changed:
            return f"data {changed}"
        file = self._find_changed_code(job_state, event)
        return f"code {file}" if file else None

    def _find_changed_data(self, reads: FileReads, job: JobDescription) -> str | None:
        if not reads:
            return None
        # Jobs of a study read the same few files. The key is the text of what they read, and from where.
        key = repr((reads, job.config.get("paths")))
        if key not in self._data_cache:
            self._data_cache[key] = find_changed_file(reads, job.config)
        return self._data_cache[key]

    def _find_changed_code(self, job_state: JobState, event: Event) -> str | None:
        if self._import_roots is None:
            return None
        key = (job_state.holding_study.name, event["code"])
        if key not in self._code_cache:
            self._code_cache[key] = find_changed_code(job_state.holding_study, event["code"], self._import_roots)
        return self._code_cache[key]
