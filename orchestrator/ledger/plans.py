"""The plans of a study on disk, and which jobs are current.

Every launch that changes the study writes one file. Its first line says who launched and with which settings, and the
other lines are the job descriptions. An address, (stage, axis values), belongs to the job that was planned last for it:
this job is current, and the earlier jobs of the address are superseded. A launch adds jobs. It also removes jobs that
an earlier launch with the same request planned and that it does not plan: their points were deleted from the study
file.

Modules of Seedfold have their oldest names in the file, because a task that still waits in a queue reads it with the
code of its snapshot. Whoever reads a plan gets the names that modules have in the code that reads it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.description_lines import encode_jobs
from seedfold.jobs.moved_modules import oldest_name
from seedfold.jobs.secret_values import without_secrets
from seedfold.orchestrator.ledger.atomic_files import create_once, to_json_line, write_atomically
from seedfold.orchestrator.ledger.damaged_files import naming_damaged_file
from seedfold.orchestrator.ledger.kept_columns import keep, read_kept
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.plan_jobs import END, REMEDY, PlanJobs, file_mark
from seedfold.orchestrator.ledger.plan_names import named
from seedfold.orchestrator.ledger.plan_table import Address, JobsAt, JobsOf, PlanTable, Request
from seedfold.orchestrator.settings.notify import without_targets
from seedfold.results.imports.run import IMPORT_RUN
from seedfold.results.store.passing_errors import find_files, try_again

_HOW_KEYS = frozenset(
    {
        "checkpoint",
        "cluster",
        "failures",
        "fuse",
        "hydra",
        "identity",
        "logger",
        "notify",
        "order",
        "paths",
        "report",
        "resources",
        "size",
        "study",
    }
)
"""Overrides of these keys decide how jobs run or are shown, and not which jobs there are."""
_SWEPT = "hydra.sweeper."
_STUDY = "study="


def study_request(overrides: Iterable[str]) -> Request:
    """Return which part of a study overrides ask for: two launches with the same request speak of the same points."""
    return tuple(sorted(override for override in overrides if _says_which_jobs(override)))


def _says_which_jobs(override: str) -> bool:
    key = override.partition("=")[0].lstrip("+~")
    return key.startswith(_SWEPT) or re.split(r"[./@]", key)[0] not in _HOW_KEYS


_WORTH_KEEPING_BYTES = 1 << 18
_PLAN_NAME = re.compile(r"\d+-")
"""How the names of plans begin; people may put other files beside them."""


@dataclass(frozen=True, slots=True)
class PlanHeader:
    """Who launched, with which overrides, and the settings (``cluster``, ``failures``, …) of the jobs of this plan.

    ``request`` says which part of the study the plan is the whole of; one without it only adds jobs.
    """

    time: float
    user: str
    host: str
    command: tuple[str, ...]
    folder: str
    overrides: tuple[str, ...]
    config_dirs: tuple[str, ...]
    settings: Mapping[str, Any]
    request: Request | None = None
    has_end: bool = False
    """Whether a last line says that the file is whole; plans of earlier versions have none."""
    trial: int | None = None
    """The trial of the study's search whose jobs these are."""

    @classmethod
    def create(
        cls,
        overrides: Sequence[str],
        config_dirs: Sequence[Path],
        settings: Mapping[str, Any],
        folder: Path,
        request: Request | None = None,
    ) -> PlanHeader:
        """Make the header of a plan of this process."""
        return cls(
            time=time.time(),
            user=user_name(),
            host=os.uname().nodename,
            command=tuple(without_targets(without_secrets(word, os.environ)) for word in sys.argv),
            folder=str(folder),
            overrides=tuple(map(without_targets, overrides)),
            config_dirs=tuple(map(str, config_dirs)),
            settings=dict(settings),
            request=request,
        )


def user_name() -> str:
    """The user's name, or the user's number where it has no name, as in a container."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _next_file_name(folder: Path) -> str:
    """A name that sorts after all others, even where the clocks of the hosts differ."""
    numbers = (file.name.split("-")[0] for file in find_files(folder, "*.jsonl"))
    latest = max((int(number) for number in numbers if number.isdecimal()), default=0)
    return f"{max(time.time_ns(), latest + 1):020d}-{os.getpid()}-{os.urandom(3).hex()}.jsonl"


def write_plan(study: StudyFolder, header: PlanHeader, jobs: Iterable[JobDescription]) -> Path:
    """Write one plan, whole or not at all, and return its file."""
    path = study.plans_folder / _next_file_name(study.plans_folder)
    write_atomically(path, _plan_lines(header, jobs))
    return path


def write_plan_once(study: StudyFolder, header: PlanHeader, jobs: Iterable[JobDescription], digest: str) -> None:
    """Write the plan with that digest, unless it exists.

    Of many processes that do so at once with equal times, one succeeds.
    """
    folder = study.plans_folder
    if not find_files(folder, f"*-{digest}.jsonl"):
        name = f"{round(header.time * 1e9):020d}-{digest}.jsonl"
        create_once(folder / name, "".join(_plan_lines(header, jobs)))


def _plan_lines(header: PlanHeader, jobs: Iterable[JobDescription]) -> Iterator[str]:
    lines = (named(line, oldest_name).rstrip("\n") + "\n" for line in encode_jobs(jobs))
    record = asdict(replace(header, has_end=True))
    if header.trial is None:
        # Versions without searches can read it then.
        del record["trial"]
    return chain([to_json_line(record)], lines, [f"{END}\n"])


def _plan_files(study: StudyFolder) -> list[Path]:
    folder = study.plans_folder
    files = find_files(folder, "*.jsonl")
    return sorted((file for file in files if _PLAN_NAME.match(file.name)), key=lambda file: file.name)


def read_plan_header(path: Path) -> PlanHeader:
    """Read the header of a plan. Raises DamagedFileError if it is none."""
    with naming_damaged_file(path, REMEDY):
        line = try_again(lambda: _read_first_line(path), path)
    return _parse_header(path, line)


def _parse_header(path: Path, line: str) -> PlanHeader:
    with naming_damaged_file(path, REMEDY):
        record = json.loads(line)
        for key in ("command", "overrides", "config_dirs"):
            record[key] = tuple(map(_require_text, record[key]))
        _require_text(record["folder"])
        # Of an earlier version: resume and rendered scripts had no overrides that say which jobs there are.
        request = record.get("request", study_request(record["overrides"]) or None)
        if request is not None:
            # Earlier versions counted the name of the study, which may change.
            request = tuple(one for one in map(_require_text, request) if not one.startswith(_STUDY))
        header = PlanHeader(**{**record, "request": request})
        if not isinstance(header.settings, dict):
            raise TypeError(f"settings: {header.settings!r:.40}")
        return header


def last_plan_header(study: StudyFolder) -> PlanHeader | None:
    """Return the header of a study's last plan, without reading its jobs; None if there is no plan."""
    files = _plan_files(study)
    return read_plan_header(files[-1]) if files else None


def _read_first_line(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline()


def _require_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not a text")
    return value


class Plans:
    """All plans of a study; each `refresh` reads what is new.

    ``jobs`` has every job that was ever planned, by id; ``current_jobs`` has the job of each address that the study had
    at its last launch (equal points of two stages are one job with two addresses); ``removed_jobs`` has the jobs of
    addresses that the study no longer has; ``superseded`` has the ids of the jobs that have no address any more;
    ``header`` is that of the last plan. ``trial_jobs`` has the jobs of the study's search.
    """

    def __init__(self, study: StudyFolder, *, keeps: bool = True) -> None:
        """``keeps`` says whether what was read may be kept for later commands."""
        self.study = study
        self.header: PlanHeader | None = None
        self._files_read: dict[Path, PlanJobs] = {}
        self._bytes_read = 0
        self._trial_jobs: dict[str, None] = {}
        self._looked_at = 0
        self.table = self._restore()
        self.refresh()
        if keeps and self._bytes_read >= _WORTH_KEEPING_BYTES:
            keep(study, "plans", *self.table.kept())
        self._bytes_read = 0

    def _restore(self) -> PlanTable:
        """Begin with what was kept, if the plans are the same files."""
        for kept in read_kept(self.study, "plans"):
            try:
                table = PlanTable.restore(self.study.name, self.study.plans_folder, kept)
                is_same = all(file_mark(plan.path.stat()) == plan.mark for plan in table.plans)
            except (KeyError, ValueError, TypeError, LookupError, OSError):
                continue
            if is_same and table.plans:
                self._files_read = {plan.path: plan for plan in table.plans}
                last = max(self._files_read)
                self.header = _parse_header(last, self._files_read[last].header_line)
                return table
        return PlanTable(self.study.name)

    @property
    def jobs(self) -> Mapping[str, JobDescription]:
        """Every job that was ever planned, by id."""
        return JobsOf(self.table, self.table.row_of)

    @property
    def current_jobs(self) -> JobsAt:
        """The job of each address that the study had at its last launch."""
        return JobsAt(self.table, self.table.current)

    @property
    def removed_jobs(self) -> JobsAt:
        """The jobs of addresses that the study no longer has."""
        return JobsAt(self.table, self.table.removed)

    @property
    def trial_jobs(self) -> Mapping[str, JobDescription]:
        """The jobs of the study's search, by id."""
        for plan in self.table.plans[self._looked_at :]:
            if '"trial":' in plan.header_line and _parse_header(plan.path, plan.header_line).trial is not None:
                self._trial_jobs.update(dict.fromkeys(plan.ids))
        self._looked_at = len(self.table.plans)
        return JobsOf(self.table, {job: self.table.row_of[job] for job in self._trial_jobs})

    def refresh(self) -> bool:
        """Read plans that are new; return whether there were any."""
        files = _plan_files(self.study)
        new = [path for path in files if path not in self._files_read]
        is_late = bool(new and self._files_read and new[0] < max(self._files_read))
        for path in new:
            self._read(path)
        if is_late:
            # Another plan, written at the same moment, was read before it. The order of the names counts, for all
            # readers alike.
            self.table.clear_merged()
        for path in sorted(self._files_read) if is_late else new:
            self._merge(path)
        return bool(new)

    def _read(self, path: Path) -> None:
        plan = PlanJobs.read(path)
        _parse_header(path, plan.header_line)
        self._bytes_read += plan.mark[1]
        self.table.add(plan)
        self._files_read[path] = plan

    def _merge(self, path: Path) -> None:
        plan = self._files_read[path]
        self.header = _parse_header(path, plan.header_line)
        self.table.merge(plan, None if plan.are_all_of(IMPORT_RUN) else self.header.request)

    def jobs_to_remove(self, request: Request, named: Collection[Address]) -> list[JobDescription]:
        """Return the current jobs that a plan of ``request`` removes if it names these addresses."""
        return [self.table.job(row) for _, row in self.table.rows_to_remove(request, named)]

    def held_jobs(self) -> JobsAt:
        """The job that holds each address, whether the study as last launched has the address or not."""
        return JobsAt(self.table, self.table.removed, self.table.current)

    def current_ids(self) -> list[str]:
        """The ids of the current jobs, each once, in the order in which they were planned."""
        ids = self.table.ids
        return list(dict.fromkeys(ids[row] for row in self.table.current.in_order()))

    def choose_current(self, is_wanted: Callable[[str], bool]) -> list[JobDescription]:
        """Return the current jobs whose ids are wanted, in the order in which they were planned; no other is read."""
        table = self.table
        return [table.job(row) for row in table.current.in_order() if is_wanted(table.ids[row])]

    def last_job(self) -> JobDescription | None:
        """The current job that was planned last; None if there is none."""
        rows = self.table.current.in_order()
        return self.table.job(rows[-1]) if rows else None

    @property
    def superseded(self) -> frozenset[str]:
        """The ids of the jobs that have no address any more."""
        return frozenset(self.superseded_ids())

    def superseded_ids(self) -> list[str]:
        """The superseded ids, in the order in which they were planned."""
        ids = self.table.ids
        held = {ids[row] for row in self.held_jobs().in_order()}
        return [job for job in self.table.row_of if job not in held] if len(held) < len(self.table.row_of) else []
