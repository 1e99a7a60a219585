"""What of a study may be deleted, and deleting it.

Never named: results of current jobs, of this study or of any other under the root; anything that a job at work or a
job not yet done may still read: its own folder, the checkpoints of its fit, its parents' results. A folder is renamed
before it is deleted, so that nobody ever sees half of it; what a kill leaves over is found by the next call.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

from seedfold.jobs.description import SHORT_ID
from seedfold.orchestrator.code.snapshots import UNFINISHED
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.state.job_states import ALIVE
from seedfold.orchestrator.state.overview import JobView, Overview
from seedfold.results.store.published import DamagedError, load_result

Kind = Literal["leftovers", "snapshots", "superseded", "failed", "checkpoints"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TRASH = ".trash-"
# A launch that is under way keeps its code before it says which jobs run it.
_LAUNCH_S = 3600.0


@dataclass(frozen=True, slots=True)
class Garbage:
    """Something that may go. ``size`` in bytes; ``job`` is the id it belongs to, empty for what belongs to none."""

    kind: Kind
    path: Path
    job: str
    why: str
    size: int


class Needed:
    """What jobs of all studies under a root may still read: results by job id, folders by job or fit id."""

    def __init__(self, overviews: Iterable[Overview]) -> None:
        self.results: set[str] = set()
        self.folders: set[str] = set()
        self.fits: set[str] = set()
        self.readers_at_work = False
        for overview in overviews:
            for view in overview.places():
                self._keep_current(view)
            for view in overview.superseded():
                if view.state in ALIVE:
                    self._keep_unfinished(view)

    def _keep_current(self, view: JobView) -> None:
        self.results.add(view.job.id)
        self.fits.add(view.job.fit)
        if view.state != "done":
            self._keep_unfinished(view)

    def _keep_unfinished(self, view: JobView) -> None:
        self.results.update([view.job.id, *view.job.parents])
        self.readers_at_work = self.readers_at_work or view.state in ALIVE
        if view.state != "failed":
            self.folders.update([view.job.id, view.job.fit])


class Collector:
    """Finds what may go in one study. Read once; make another one to look again."""

    def __init__(self, root: Root, study: str) -> None:
        self.overview = Overview(root, study)
        others = [Overview(root, folder.name) for folder in root.studies() if folder.name != study]
        self.needed = Needed([self.overview, *others])
        self.folder = self.overview.folder

    @cached_property
    def garbage(self) -> list[Garbage]:
        """Everything that may go, each thing once, under the first kind that names it."""
        found: dict[Path, Garbage] = {}
        kinds = (self._leftovers(), self._snapshots(), self._superseded(), self._failed(), self._checkpoints())
        for one in chain(*kinds):
            found.setdefault(one.path, one)
        return list(found.values())

    def _leftovers(self) -> Iterator[Garbage]:
        """What attempts that are over left behind, and results that a newer one has taken the place of."""
        for path in self._in_jobs("staging.*"):
            if self._job_of(path) not in self.needed.folders:
                yield _garbage("leftovers", path, self._job_of(path), "unfinished result of an attempt that is over")
        for path in self.folder.path.rglob(f"{_TRASH}*"):
            yield _garbage("leftovers", path, self._job_of(path), "deletion that was cut short")
        for view in self.overview.places():
            if view.state == "done" and not self.needed.readers_at_work:
                yield from self._older_results(view)

    def _older_results(self, view: JobView) -> Iterator[Garbage]:
        if view.standing.home != self.folder:
            return
        for attempt in self.overview.ledger.record(view.job.id).attempts:
            path = self.folder.published(view.job.id, attempt)
            if attempt < view.standing.attempt and path.is_dir():
                yield _garbage("leftovers", path, view.job.id, f"result of attempt {attempt}, replaced by a newer one")

    def _snapshots(self) -> Iterator[Garbage]:
        """Code that nobody runs any more, that no job would go on with, and that no result here comes from."""
        old = [path for path in _list(self.folder.snapshots) if time.time() - path.stat().st_mtime > _LAUNCH_S]
        for path in old:
            if path.name.startswith(UNFINISHED):
                yield _garbage("leftovers", path, "", "snapshot of a launch that was cut short")
        left = {path.name: path for path in old if not path.name.startswith((UNFINISHED, _TRASH))}
        for needed in self._code_to_go_on_with():
            left.pop(needed or "", None)
        for needed in self._code_of_results() if left else ():
            left.pop(needed or "", None)
        for path in left.values():
            yield _garbage("snapshots", path, "", "no job and no result needs it")

    def _code_to_go_on_with(self) -> Iterator[str | None]:
        ledger = self.overview.ledger
        yield from (submission.snapshot for submission in ledger.live)
        for view in self.overview.places():
            if view.state != "done" and view.job.id in ledger.handed_over:
                yield ledger.handed_over[view.job.id].snapshot

    def _code_of_results(self) -> Iterator[str | None]:
        known: dict[str, str | None] = {}
        for folder in self.folder.path.glob("store/*/*"):
            with suppress(DamagedError, FileNotFoundError):
                token = load_result(folder).provenance["submission"]
                if token not in known:
                    known[token] = Submission.read(self.folder.submissions / token).snapshot
                yield known[token]

    def _superseded(self) -> Iterator[Garbage]:
        """Results and folders of jobs that hold no place any more, in any study."""
        for view in self.overview.superseded():
            job = view.job
            if job.id in self.needed.results or view.state in ALIVE:
                continue
            for attempt in self.overview.ledger.record(job.id).attempts:
                path = self.folder.published(job.id, attempt)
                if path.is_dir():
                    yield _garbage("superseded", path, job.id, "result of a job that was replaced")
            yield from self._folders_of(job.id, job.fit)

    def _folders_of(self, job: str, fit: str) -> Iterator[Garbage]:
        for name in dict.fromkeys([job, fit]):
            folder = self.folder.job(name)
            if folder.is_dir() and not {name} & (self.needed.fits | self.needed.folders):
                yield _garbage("superseded", folder, job, "folder of a job that was replaced")

    def _failed(self) -> Iterator[Garbage]:
        """Checkpoints of failed jobs: a resume begins them anew. Their logs stay."""
        for view in self.overview.places():
            if view.state == "failed":
                yield from self._weights("failed", view, "checkpoint of a failed job")

    def _checkpoints(self) -> Iterator[Garbage]:
        """Checkpoints of finished jobs: predicting anew would have to train again."""
        for view in self.overview.places():
            if view.state == "done":
                yield from self._weights("checkpoints", view, "checkpoint of a finished job")

    def _weights(self, kind: Kind, view: JobView, why: str) -> Iterator[Garbage]:
        folder = self.folder.job(view.job.fit)
        if view.job.fit in self.needed.folders or not folder.is_dir():
            return
        # What says that training is finished goes first: without it, what is left is only a checkpoint.
        entries = sorted(folder.iterdir(), key=lambda path: (path.name != "fit.json", path.name))
        for path in entries:
            if not path.name.startswith(("log.", "staging.", _TRASH)):
                yield _garbage(kind, path, view.job.id, why)

    def _in_jobs(self, pattern: str) -> Iterator[Path]:
        return self.folder.path.glob(f"jobs/*/*/{pattern}")

    def _job_of(self, path: Path) -> str:
        return path.parent.name if path.parent.parent.parent.name == "jobs" else path.name.split(".")[0]


def _list(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _garbage(kind: Kind, path: Path, job: str, why: str) -> Garbage:
    return Garbage(kind, path, job, why, size_of(path))


def size_of(path: Path) -> int:
    """Size in bytes of a file, or of all files below a folder."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in below)


def delete(garbage: Iterable[Garbage]) -> int:
    """Delete; return the bytes that this freed. What has gone meanwhile is passed over."""
    freed = 0
    for one in garbage:
        trash = one.path.with_name(f"{_TRASH}{os.urandom(6).hex()}")
        try:
            one.path.rename(trash)
        except FileNotFoundError:
            continue
        if trash.is_dir() and not trash.is_symlink():
            shutil.rmtree(trash)
        else:
            trash.unlink()
        freed += one.size
    return freed


def short(job: str) -> str:
    """A job's id as shown to people."""
    return job[:SHORT_ID]
