"""Which results are stale, and why: a parent, a data file or the code has changed since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.code.comparison import CodeComparison, CodeKey
from seedfold.orchestrator.code.current_code import CurrentCode
from seedfold.orchestrator.code.data_reads import FileReads, find_changed_file
from seedfold.orchestrator.code.snapshots import snapshot_roots
from seedfold.orchestrator.code.source_files import program_folders
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.state.job_states import JobState, JobStates

PARENT, DATA, CODE = "parent", "data", "code"


def compare_code(ledger: Ledger, last_job: JobDescription | None, folder: Path | None = None) -> CodeComparison:
    """Return what compares the code of a study's results with that which its jobs would run today.

    The code of today is that in ``folder``, by default the one of the last launch; in a copy of a study there is none.
    """
    header = ledger.plans.header
    if folder is None and header is not None and read_copy_origin(ledger.study) is None:
        folder = Path(header.folder)
    if folder is None:
        return CodeComparison(ledger.study, None)
    # Jobs of one launch have all been launched from the same program.
    programs = program_folders([] if last_job is None else [last_job])
    return CodeComparison(ledger.study, CurrentCode(folder, [*programs, *snapshot_roots(ledger)]))


class StalenessChecker:
    """Finds why results are stale. Each file is read once."""

    def __init__(self, states: JobStates, comparison: CodeComparison) -> None:
        self._states = states
        self._own = OwnChanges(comparison)

    def find_changes(self, job: JobDescription, job_state: JobState) -> tuple[str, ...]:
        """Return what has changed since a job was done: ``parent``, ``data FILE`` and ``code FILE``, in this order."""
        if job_state.state != "done" or job_state.event is None:
            return ()
        parent = (PARENT,) if self._has_newer_parent(job, job_state.event) else ()
        return (*parent, *self._own.find(job, job_state.holding_study, job_state.event))

    def _has_newer_parent(self, job: JobDescription, event: Event) -> bool:
        parents = event["parents"]
        if any(self._states.of(parent).attempt != attempt for parent, attempt in parents.items()):
            return True
        return any(parent not in parents for parent in self._states.needed_parents(job))


class OwnChanges:
    """Finds which data and which code of a result have changed, whatever became of its parents."""

    def __init__(self, comparison: CodeComparison) -> None:
        self._comparison = comparison
        self._data_cache: dict[str, str | None] = {}

    def find(self, job: JobDescription, study: StudyFolder, event: Event) -> Iterator[str]:
        """Yield ``data FILE`` and ``code FILE`` for a job that a study has done, with that event."""
        changed = self._find_changed_data(event["reads"], job)
        if changed:
            yield f"{DATA} {changed}"
        for file in self._comparison.changed_files(CodeKey(study, event["code"], job.run)):
            yield f"{CODE} {file}"

    def _find_changed_data(self, reads: FileReads, job: JobDescription) -> str | None:
        if not reads:
            return None
        # Jobs of a study read the same few files. The key is the text of what they read, and from where.
        key = repr((reads, job.config.get("paths")))
        if key not in self._data_cache:
            self._data_cache[key] = find_changed_file(reads, job.config)
        return self._data_cache[key]
