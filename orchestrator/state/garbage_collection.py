"""Which files of a study may be deleted, and deleting them.

These are never deleted: results of current jobs, of this study or of any other study under the root, and anything that
a job that is running or not yet done may still read (its own folder, the checkpoints of its fit, its parents' results).
A folder is renamed before it is deleted, so that nobody sees half of it. If the process is killed, the next call finds
what is left.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

from seedfold.jobs.description import SHORT_ID_LENGTH
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.code.snapshots import UNFINISHED_PREFIX
from seedfold.orchestrator.ledger.claims import may_be_written
from seedfold.orchestrator.ledger.copy_origin import is_copy
from seedfold.orchestrator.ledger.file_system_clock import file_system_time
from seedfold.orchestrator.ledger.layout import CLEARED_MARK, Root
from seedfold.orchestrator.ledger.search_decisions import pruned_jobs
from seedfold.orchestrator.ledger.search_launch import SearchLaunch, has_launch
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.state.job_states import ACTIVE_STATES
from seedfold.orchestrator.state.overview import JobView, Overview
from seedfold.results.recording.attempt_file import RECORDS
from seedfold.results.store.published import DamagedError, load_result

DeletableKind = Literal["leftovers", "snapshots", "superseded", "failed", "checkpoints"]
DELETABLE_KINDS: tuple[DeletableKind, ...] = get_args(DeletableKind)
_TRASH_PREFIX = ".trash-"
# A file has such a name until it is whole: see `results.store.atomic_files`.
_TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{12}")
_WORK = ("jobs", "store", "outputs")
"""Folders of a study that hold the work; all others are the ledger, and what is derived from it."""
# A launch makes its snapshot before it writes which jobs run it.
_LAUNCH_GRACE_S = 3600.0


@dataclass(frozen=True, slots=True)
class DeletablePath:
    """A file or folder that may be deleted. ``size`` is in bytes; ``job_id`` is empty if it belongs to no job."""

    kind: DeletableKind
    path: Path
    job_id: str
    reason: str
    size: int


class NeededData:
    """What jobs of all studies under a root may still read: results by job id, and folders by job or fit id."""

    def __init__(self, overviews: Iterable[Overview]) -> None:
        self.results: set[str] = set()
        self.folders: set[str] = set()
        self.fits: set[str] = set()
        self.has_running_readers = False
        for overview in overviews:
            pruned = find_pruned(overview)
            for view in overview.job_views():
                self._add_current(view, view.job.id in pruned)
            for view in overview.superseded_views():
                if view.state in ACTIVE_STATES:
                    self._add_unfinished(view)

    def _add_current(self, view: JobView, is_pruned: bool) -> None:
        self.results.add(view.job.id)
        self.fits.add(view.job.fit)
        if view.state != "done":
            self._add_unfinished(view, is_pruned)

    def _add_unfinished(self, view: JobView, is_pruned: bool = False) -> None:
        self.results.update([view.job.id, *view.job.parents])
        self.has_running_readers = self.has_running_readers or view.state in ACTIVE_STATES
        if view.state != "failed" and not (is_pruned and view.state in _GIVEN_UP):
            self.folders.update([view.job.id, view.job.fit])


_GIVEN_UP = frozenset({"paused", "cancelled"})


def find_pruned(overview: Overview) -> set[str]:
    """The jobs of trials that the search of a study has given up; none for a study that does not search."""
    return pruned_jobs(overview.folder) if SEARCH in overview.settings else set()


class DeletableFinder:
    """Finds what may be deleted in one study. It reads the study once; make a new finder to read it again."""

    def __init__(self, root: Root, study: str, needed: NeededData | None = None) -> None:
        """``needed`` is what the studies of the root need, if that is known already."""
        self.overview = Overview(root, study, with_removed=True)
        if needed is None:
            names = [folder.name for folder in root.study_folders() if folder.name != study]
            needed = NeededData([self.overview, *(Overview(root, name, with_removed=True) for name in names)])
        self.needed = needed
        self.folder = self.overview.folder

    @cached_property
    def deletable(self) -> list[DeletablePath]:
        """Everything that may be deleted, each path once, under the first kind that fits."""
        found_paths: dict[Path, DeletablePath] = {}
        kinds = (
            self._find_leftovers(),
            self._find_snapshots(),
            self._find_superseded(),
            self._find_failed_checkpoints(),
            self._find_finished_checkpoints(),
        )
        for deletable in chain(*kinds):
            found_paths.setdefault(deletable.path, deletable)
        return list(found_paths.values())

    def _find_leftovers(self) -> Iterator[DeletablePath]:
        """What ended attempts left behind, and results that were replaced by a newer attempt."""
        for path in self._glob_job_folders("staging.*"):
            if self._job_id_of(path) not in self.needed.folders and not may_be_written(path):
                yield _make_deletable(
                    "leftovers", path, self._job_id_of(path), "unfinished result of an attempt that has ended"
                )
        for path in self._glob_job_folders(RECORDS):
            if self._job_id_of(path) not in self.needed.folders:
                yield _make_deletable("leftovers", path, self._job_id_of(path), "records of an attempt that has ended")
        for path in self.folder.path.rglob(f"{_TRASH_PREFIX}*"):
            yield _make_deletable("leftovers", path, self._job_id_of(path), "rest of an interrupted deletion")
        yield from self._find_temporary_files()
        for view in self.overview.job_views():
            if view.state == "done" and not self.needed.has_running_readers:
                yield from self._find_older_results(view)

    def _is_old(self, path: Path) -> bool:
        """Whether a file or folder was made so long ago that no launch is still busy with it."""
        return self._now - path.stat().st_mtime > _LAUNCH_GRACE_S

    @cached_property
    def _now(self) -> float:
        return file_system_time(self.folder)

    def _find_temporary_files(self) -> Iterator[DeletablePath]:
        """Files that a process was writing when it was killed, under the names that they have until they are whole."""
        ledger = (each for each in self.folder.path.iterdir() if each.is_dir() and each.name not in _WORK)
        for path in chain(self.folder.path.glob(".*"), *(each.rglob(".*") for each in ledger)):
            is_temporary = _TEMPORARY_NAME.fullmatch(path.name) and self.folder.snapshots_folder not in path.parents
            if is_temporary and self._is_old(path):
                yield _make_deletable("leftovers", path, "", "part of a file whose writer was killed")

    def _find_older_results(self, view: JobView) -> Iterator[DeletablePath]:
        if view.job_state.holding_study != self.folder:
            return
        for attempt in self.overview.ledger.record_of(view.job.id).last_events:
            path = self.folder.result_folder(view.job.id, attempt)
            if attempt < view.job_state.attempt and path.is_dir():
                yield _make_deletable(
                    "leftovers", path, view.job.id, f"result of attempt {attempt}, replaced by a newer one"
                )

    def _find_snapshots(self) -> Iterator[DeletablePath]:
        """Snapshots that no job runs or would continue with, and that no result of this study comes from."""
        old = [path for path in _sorted_entries(self.folder.snapshots_folder) if self._is_old(path)]
        for path in old:
            if path.name.startswith(UNFINISHED_PREFIX):
                yield _make_deletable("leftovers", path, "", "snapshot of an interrupted launch")
        unneeded = {path.name: path for path in old if not path.name.startswith((UNFINISHED_PREFIX, _TRASH_PREFIX))}
        for needed in self._snapshots_of_open_jobs():
            unneeded.pop(needed or "", None)
        for needed in self._snapshots_of_results() if unneeded else ():
            unneeded.pop(needed or "", None)
        for path in unneeded.values():
            yield _make_deletable("snapshots", path, "", "no job and no result needs this snapshot")

    def _snapshots_of_open_jobs(self) -> Iterator[str | None]:
        ledger = self.overview.ledger
        yield from (submission.snapshot for submission in ledger.live_submissions)
        if SEARCH in self.overview.settings and has_launch(self.folder):
            yield SearchLaunch.read(self.folder).snapshot
        for view in self.overview.job_views():
            if view.state != "done" and view.job.id in ledger.last_submission_of:
                yield ledger.last_submission_of[view.job.id].snapshot

    def _snapshots_of_results(self) -> Iterator[str | None]:
        snapshot_of_submission: dict[str, str | None] = {}
        for folder in self.folder.path.glob("store/*/*"):
            with suppress(DamagedError, FileNotFoundError):
                token = load_result(folder).provenance["submission"]
                if token not in snapshot_of_submission:
                    snapshot_of_submission[token] = Submission.read(self.folder.submissions_folder / token).snapshot
                yield snapshot_of_submission[token]

    def _find_superseded(self) -> Iterator[DeletablePath]:
        """Results and folders of jobs that no longer have an address in any study."""
        for view in self.overview.superseded_views():
            job = view.job
            if job.id in self.needed.results or view.state in ACTIVE_STATES:
                continue
            for attempt in self.overview.ledger.record_of(job.id).last_events:
                path = self.folder.result_folder(job.id, attempt)
                if path.is_dir():
                    yield _make_deletable("superseded", path, job.id, "result of a job that was replaced")
            yield from self._find_job_folders(job.id, job.fit)

    def _find_job_folders(self, job_id: str, fit: str) -> Iterator[DeletablePath]:
        for name in dict.fromkeys([job_id, fit]):
            folder = self.folder.job_folder(name)
            if folder.is_dir() and not {name} & (self.needed.fits | self.needed.folders):
                yield _make_deletable("superseded", folder, job_id, "folder of a job that was replaced")

    def _find_failed_checkpoints(self) -> Iterator[DeletablePath]:
        """Checkpoints of failed jobs and of trials that a search has given up; without them, jobs begin anew.

        Their logs are kept.
        """
        pruned = find_pruned(self.overview)
        for view in self.overview.job_views():
            if view.state == "failed":
                yield from self._find_checkpoints("failed", view, "checkpoint of a failed job")
            elif view.job.id in pruned and view.state in _GIVEN_UP:
                yield from self._find_checkpoints("failed", view, "checkpoint of a trial that its search has given up")

    def _find_finished_checkpoints(self) -> Iterator[DeletablePath]:
        """Checkpoints of finished jobs; without them a new prediction has to train again."""
        for view in self.overview.job_views():
            if view.state == "done":
                yield from self._find_checkpoints("checkpoints", view, "checkpoint of a finished job")

    def _find_checkpoints(self, kind: DeletableKind, view: JobView, reason: str) -> Iterator[DeletablePath]:
        folder = self.folder.job_folder(view.job.fit)
        if view.job.fit in self.needed.folders or not folder.is_dir():
            return
        # The file that says that training is finished is deleted first: what is left is then only a checkpoint.
        entries = sorted(folder.iterdir(), key=lambda path: (path.name != "fit.json", path.name))
        for path in entries:
            if not path.name.startswith(("log.", "staging.", CLEARED_MARK, _TRASH_PREFIX)):
                yield _make_deletable(kind, path, view.job.id, reason)

    def _glob_job_folders(self, pattern: str) -> Iterator[Path]:
        return self.folder.path.glob(f"jobs/*/*/{pattern}")

    def _job_id_of(self, path: Path) -> str:
        return path.parent.name if path.parent.parent.parent.name == "jobs" else path.name.split(".")[0]


def find_in_root(root: Root) -> dict[str, list[DeletablePath]]:
    """Return what may be deleted in each study of a root, by name, without those that are copies."""
    names = [folder.name for folder in root.study_folders()]
    needed = NeededData(Overview(root, name, with_removed=True) for name in names)
    own = [name for name in names if not is_copy(root.study_folder(name))]
    return {name: DeletableFinder(root, name, needed).deletable for name in own}


def _sorted_entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _make_deletable(kind: DeletableKind, path: Path, job_id: str, reason: str) -> DeletablePath:
    return DeletablePath(kind, path, job_id, reason, size_of(path))


def size_of(path: Path) -> int:
    """Size in bytes of a file, or of all files below a folder."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in below)


def delete_paths(paths: Iterable[DeletablePath]) -> int:
    """Delete the paths; return the number of bytes freed. Paths that no longer exist are skipped."""
    freed = 0
    for deletable in paths:
        trash = deletable.path.with_name(f"{_TRASH_PREFIX}{os.urandom(6).hex()}")
        try:
            deletable.path.rename(trash)
        except FileNotFoundError:
            continue
        if trash.is_dir() and not trash.is_symlink():
            shutil.rmtree(trash)
        else:
            trash.unlink()
        freed += deletable.size
    return freed


def short_id(job_id: str) -> str:
    """The first characters of a job's id, as people see it."""
    return job_id[:SHORT_ID_LENGTH]
