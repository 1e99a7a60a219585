"""The studies of a root, one line each: counts, owner, last activity, size on disk, report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import SeedfoldError
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.owners import owner_name
from seedfold.orchestrator.state.job_states import ACTIVE_STATES
from seedfold.orchestrator.state.overview import JobView, Overview, count_views, unique_by_id

_BLOCK_BYTES = 512
"""The unit of ``st_blocks``."""


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study. ``last_activity`` is in seconds since the epoch. ``report`` is None if none was written.

    If the study cannot be read, ``problem`` says why, and ``jobs`` and ``states`` are None. ``bytes`` is None only
    while the sizes of its files are still being added up.
    """

    study: str
    jobs: int | None
    states: dict[str, int] | None
    owner: str
    last_activity: float
    bytes: int | None
    report: str | None
    problem: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether a job of it runs, or waits for a scheduler."""
        return any((self.states or {}).get(state) for state in ACTIVE_STATES)

    def to_json(self) -> dict[str, Any]:
        """The shape that ``ls --json`` prints."""
        return asdict(self)


def list_studies(root: Root) -> Iterator[StudySummary]:
    """Yield the studies of a root by name. A study that cannot be read is listed with its problem."""
    for folder in root.study_folders():
        yield summarise_study(folder, partial(_read_views, root, folder), size_on_disk)


def _read_views(root: Root, folder: StudyFolder) -> Sequence[JobView]:
    return Overview(root, folder.name, result_check="recent").job_views()


def summarise_study(
    folder: StudyFolder, read_views: Callable[[], Sequence[JobView]], read_size: Callable[[Path], int | None]
) -> StudySummary:
    """Return what the list says of a study; ``read_views`` returns its jobs, ``read_size`` the size of its folder."""
    jobs, states, problem = None, None, None
    try:
        views = unique_by_id(read_views())
        jobs, states = len(views), count_views(views)
    except (SeedfoldError, OSError) as error:
        problem = str(error)
    report = folder.report_file
    return StudySummary(
        study=folder.name,
        jobs=jobs,
        states=states,
        owner=owner_name(folder.path),
        last_activity=_last_activity(folder),
        bytes=read_size(folder.path),
        report=str(report) if report.exists() else None,
        problem=problem,
    )


def _last_activity(folder: StudyFolder) -> float:
    """When a command or a job last wrote to the ledger; if that cannot be read, when something was last made in it."""
    parts = [part for part in (folder.plans_folder, folder.events_folder) if part.is_dir()]
    try:
        return max(file.stat(follow_symlinks=False).st_mtime for part in parts for file in os.scandir(part))
    except (OSError, ValueError):
        return folder.path.stat().st_mtime


def size_on_disk(path: Path) -> int:
    """The bytes that the files below a folder take up; a file that is removed meanwhile counts nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(f"{folder}/{name}").st_blocks * _BLOCK_BYTES
            except FileNotFoundError:
                continue
    return total
