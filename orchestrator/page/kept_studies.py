"""Studies that are kept in memory while people look at them, and brought up to date from what was appended."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TypeVar

from starlette.exceptions import HTTPException

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.page.answers import not_found, one_line
from seedfold.orchestrator.page.kept_results import KeptResults
from seedfold.orchestrator.page.late_values import AnswerCache, LateValue
from seedfold.orchestrator.state.job_lookup import MIN_PREFIX_LENGTH
from seedfold.orchestrator.state.job_views import JobViews, others_of
from seedfold.orchestrator.state.overview import JobView, Overview, unique_by_id

T = TypeVar("T")
_LOOK_EVERY_S = 1.0
_REST_PER_LOOK = 4.0
_JUDGE_EVERY_S = 10.0
"""How often it is asked anew whether running jobs are alive and what other studies have done, without any event."""
_MOST_STUDIES = 16
_MOST_CURVES = 1000
_MOST_PREDICTIONS = 8
_LARGE = 5000
"""Of more jobs than these it takes seconds to ask about each."""
_READ_ANEW_EVERY_S = 6 * 3600.0
"""After how long a study is read from its beginning: until then each result counts as young that was when it began."""
_ENDED_STATES = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True)
class Snapshot:
    """The jobs of a study at one moment. ``version`` is another number whenever anything of it has changed.

    A view of a done job is made when somebody asks for it, and reads then what it needs.
    """

    study: str
    version: int
    views: Sequence[JobView]

    @cached_property
    def unique(self) -> Sequence[JobView]:
        """One view for each job."""
        return unique_by_id(self.views)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each job among the unique ones, by its id."""
        ids = self.unique.ids if isinstance(self.unique, JobViews) else [view.id for view in self.unique]
        return {job: place for place, job in enumerate(ids)}

    def view_of(self, job: str) -> JobView:
        """Return the view of an id."""
        return self.unique[self.places[job]]


class KeptStudy:
    """One study. Whatever reads the overview does it with ``lock``; a snapshot needs no lock."""

    def __init__(self, root: Root, name: str, when_changed: Callable[[str], None]) -> None:
        self.root, self.name = root, name
        self.lock = threading.RLock()
        self.results = KeptResults()
        self.answers = AnswerCache()
        self.curves = AnswerCache(_MOST_CURVES)
        self.predictions = AnswerCache(_MOST_PREDICTIONS)
        self.headline: LateValue[object] = LateValue(lambda: when_changed(name))
        self.queue: LateValue[list[str]] = LateValue(lambda: when_changed(name))
        self._overview: Overview | None = None
        self._snapshot: Snapshot | None = None
        self._next_look_at = 0.0
        self._judged_at = 0.0
        self._read_at = -inf

    @property
    def overview(self) -> Overview:
        """The study as it was read last; to be used with the lock."""
        if self._overview is None:
            self._overview = Overview(self.root, self.name, result_check="recent", lock=self.lock)
        return self._overview

    def snapshot(self) -> Snapshot:
        """Return the jobs as they are now, or were a moment ago: most of the time nothing is read.

        Raises UsageError if there is no such study.
        """
        with self.lock:
            began = time.monotonic()
            if self._snapshot is None or began >= self._next_look_at:
                self._snapshot = self._look(self._snapshot, began)
                now = time.monotonic()
                self._next_look_at = now + max(_LOOK_EVERY_S, _REST_PER_LOOK * (now - began))
            return self._snapshot

    def rest_s(self) -> float:
        """Return for how many seconds `snapshot` will still answer without looking."""
        return max(0.0, self._next_look_at - time.monotonic())

    def _look(self, before: Snapshot | None, now: float) -> Snapshot:
        if now - self._read_at > _READ_ANEW_EVERY_S:
            self._overview, self._read_at = None, now
        is_read = self._overview is not None
        overview = self.overview
        if before is not None and is_read:
            is_new = overview.ledger.refresh()
            is_due = now - self._judged_at > _JUDGE_EVERY_S and any(
                view.state not in _ENDED_STATES for view in others_of(before.views)
            )
            if not is_new and not is_due:
                return before
            overview.refresh()
        self._judged_at = now
        views = overview.job_views()
        if before is not None and views == before.views:
            return before
        return Snapshot(self.name, before.version + 1 if before else 1, views)

    @contextmanager
    def long_reading(self) -> Iterator[Overview]:
        """Yield the study for what asks about each job. A large one is read once more, so that no answer waits."""
        if len(self.snapshot().views) > _LARGE:
            yield Overview(self.root, self.name, result_check="recent")
            return
        with self.lock:
            yield self.overview

    def running_folders(self) -> list[Path]:
        """Return the folders of the jobs that were running when the study was looked at last."""
        views = others_of(self._snapshot.unique) if self._snapshot else []
        return [view.job_state.holding_study.job_folder(view.id) for view in views if view.state == "running"]

    def find_job(self, name: str) -> JobView:
        """Return the job of an id, or of the first characters of one. Raises 404 if none has it, or more than one."""
        snapshot = self.snapshot()
        if name in snapshot.places:
            return snapshot.view_of(name)
        found = [job for job in snapshot.places if job.startswith(name)]
        if len(name) >= MIN_PREFIX_LENGTH and len(found) == 1:
            return snapshot.view_of(found[0])
        raise not_found(f"{self.name}: no job has the id {name[:64]!r}")

    def once(self, version: int, question: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return the answer to a question about one version of the study."""
        return self.answers.get((version, *question), make)


class KeptStudies:
    """The studies of a root that were asked for lately."""

    def __init__(self, root: Root, when_changed: Callable[[str], None]) -> None:
        self.root = root
        self._when_changed = when_changed
        self._kept: OrderedDict[str, tuple[int, KeptStudy]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> KeptStudy:
        """Return a study. Raises HTTPException 404 if the root has none of this name."""
        try:
            folder = self.root.existing_study(name)
        except UsageError as error:
            raise HTTPException(404, one_line(error)) from error
        # A study that was removed and launched anew is another one.
        place = folder.path.stat().st_ino
        with self._lock:
            known = self._kept.get(folder.name)
            if known is None or known[0] != place:
                known = place, KeptStudy(self.root, folder.name, self._when_changed)
                self._kept[folder.name] = known
            self._kept.move_to_end(folder.name)
            while len(self._kept) > _MOST_STUDIES:
                self._kept.popitem(last=False)
            return known[1]

    def kept(self) -> list[KeptStudy]:
        """Return those that are in memory."""
        with self._lock:
            return [study for _, study in self._kept.values()]
