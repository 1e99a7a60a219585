"""Where the files are under a root. No path inside a root is absolute, so that a root may be moved or copied."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from seedfold.jobs.errors import UnreachableError, UsageError, did_you_mean
from seedfold.jobs.work import SNAPSHOT_RECORD
from seedfold.orchestrator.settings.site import SITE_FILE, read_site_settings
from seedfold.results.store.atomic_files import make_folder
from seedfold.results.store.passing_errors import PASSING_ERRNOS, exists, find_files, try_again

ROOT_MARK = ".seedfold"
CLEARED_MARK = "cleared"
"""In a job's folder: what earlier attempts had kept there was removed, since the job was to be done again."""
_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """``<root>/<study>/``: plans, submissions, claims and events are the ledger; jobs and store hold the work."""

    path: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.name

    @property
    def plans_folder(self) -> Path:
        """One JSON-lines file per launch: the jobs that it named."""
        return self.path / "plans"

    @property
    def is_planned(self) -> bool:
        """Whether a launch got as far as to write its plan: before, the study has no jobs."""
        return bool(find_files(self.plans_folder, "*.jsonl"))

    @property
    def submissions_folder(self) -> Path:
        """One folder per submission, named by its token."""
        return self.path / "submissions"

    @property
    def keepers_folder(self) -> Path:
        """What is known of the keeper jobs of a study on a cluster."""
        return self.path / "keepers"

    @property
    def turns_folder(self) -> Path:
        """One file per command that submitted jobs: of several at the same time, one follows the other."""
        return self.path / "turns"

    @property
    def events_folder(self) -> Path:
        """One append-only JSON-lines file per writer: the states of jobs follow from these files alone."""
        return self.path / "events"

    @property
    def decisions_folder(self) -> Path:
        """One file per decision of the study's search, created once."""
        return self.path / "search" / "decisions"

    @property
    def outputs_folder(self) -> Path:
        """Files for people: tables, figures, the report."""
        return self.path / "outputs"

    @property
    def report_file(self) -> Path:
        """The page with tables and figures, unless it was written elsewhere."""
        return self.outputs_folder / "report.html"

    @property
    def snapshots_folder(self) -> Path:
        """One folder per snapshot of code, named by its digest."""
        return self.path / "code" / "snapshots"

    def code_record_file(self, digest: str) -> Path:
        """What is known of the code that computed results."""
        return self.path / "code" / f"{digest}.json"

    @property
    def accepted_changes_folder(self) -> Path:
        """One file per set of changes of code that a person said to make no difference."""
        return self.path / "code" / "accepted"

    def snapshot_modules_folder(self, digest: str) -> Path:
        """The folder of modules that comes first on the import path of jobs that run a snapshot.

        Raises UsageError if it is gone.
        """
        folder = self.snapshots_folder / digest
        if not exists(folder / SNAPSHOT_RECORD):
            raise UsageError(
                f"{folder}: the snapshot of the code is gone; run seedfold resume"
                f" {self.name} to continue with today's code"
            )
        return folder / "modules"

    def claim_file(self, job_id: str, attempt: int) -> Path:
        """The file whose exclusive creation starts an attempt."""
        return self.path / "claims" / job_id[:2] / f"{job_id}.{attempt}"

    def job_folder(self, job_id: str) -> Path:
        """The job's own folder: logs, checkpoints, and results that are not published yet."""
        return self.path / "jobs" / job_id[:2] / job_id

    def log_file(self, job_id: str, attempt: int) -> Path:
        """The file with what an attempt printed."""
        return self.job_folder(job_id) / f"log.{attempt}.txt"

    def result_folder(self, job_id: str, attempt: int) -> Path:
        """The published result of an attempt. The folder appears only when all its files are complete."""
        return Path(self.result_folder_text(job_id, attempt))

    def result_folder_text(self, job_id: str, attempt: int) -> str:
        """`result_folder` as text, which is faster for callers that need it for every job of a study."""
        return f"{self.path}/store/{job_id[:2]}/{job_id}.{attempt}"


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that holds studies."""

    path: Path

    def study_folder(self, name: str) -> StudyFolder:
        """Return the folder of a study, which need not exist. Raises UsageError for an unusable name."""
        if not _STUDY_NAME.fullmatch(name):
            raise UsageError(
                f"study: {name!r} cannot be the name of a folder; use up to 100 letters, digits, '.', '_' and '-'"
            )
        folder = self.path / name
        if try_again(folder.is_file, folder):
            raise UsageError(f"study: {folder} is a file; choose another name")
        return StudyFolder(self.path / folder.resolve().name if self._is_link_to_study(folder) else folder)

    def _is_link_to_study(self, folder: Path) -> bool:
        """Whether this is a link to a study in the same root: one study under two names would wait for itself."""
        return try_again(folder.is_symlink, folder) and folder.resolve().parent == self.path.resolve()

    def study_folders(self) -> Iterator[StudyFolder]:
        """All studies that have a plan and that this user may read, by name.

        Links to studies of the same root are left out, and what is left of studies that are being deleted.
        """
        if try_again(self.path.is_dir, self.path):
            for folder in sorted(try_again(lambda: list(self.path.iterdir()), self.path)):
                hidden = folder.name.startswith(".")
                if not hidden and _may_read(folder / "plans") and not self._is_link_to_study(folder):
                    yield StudyFolder(folder)

    def existing_study(self, name: str) -> StudyFolder:
        """Return the folder of a study that exists. Raises UsageError, with the nearest name, if it does not."""
        folder = self.study_folder(name)
        if not try_again(folder.plans_folder.is_dir, folder.path):
            known = [study.name for study in self.study_folders()]
            listed = f"; there are: {', '.join(known)}" if known else "; it is empty"
            raise UsageError(f"no study {name!r} under {self.path}{did_you_mean(name, known)}{listed}")
        if not folder.is_planned:
            raise UsageError(
                f"study {name!r} has no jobs yet: the command that launches it is still at work, or was stopped too"
                " early; launch it again"
            )
        return folder

    def mark_as_root(self) -> None:
        """Mark the folder as a root, so that commands run below it find it."""
        try:
            make_folder(self.path)
        except FileNotFoundError as error:
            raise UsageError(f"root {self.path}: no folder can be made there; name another one") from error
        self.apply_group_umask()
        mark = self.path / ROOT_MARK
        if not exists(mark):
            try_again(mark.touch, mark)

    def apply_group_umask(self) -> None:
        """If the group may write to the root, make all new files of this process and its children group-writable.

        A root that several people share is a folder that their group may write to, with the set-group-ID bit.
        """
        if exists(self.path) and try_again(self.path.stat, self.path).st_mode & stat.S_IWGRP:
            os.umask(os.umask(0o077) & ~stat.S_IRWXG)


def _may_read(folder: Path) -> bool:
    """Whether a folder is there and this user may list and enter it. Raises OSError if the file system does not say."""
    try:
        try_again(folder.joinpath(".").stat, folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    return os.access(folder, os.R_OK | os.X_OK)


def _find_marked_root(folder: Path) -> Path | None:
    for above in (folder, *folder.parents):
        for candidate in (above, above / "runs"):
            if exists(candidate / ROOT_MARK):
                return candidate
    return None


def _root_choices(path: str | Path | None) -> Iterator[tuple[str, str | Path | None]]:
    yield "--root", path
    yield "SEEDFOLD_ROOT", os.environ.get("SEEDFOLD_ROOT")
    yield f"{SITE_FILE}: root", read_site_settings().get("root")


def _check_root(origin: str, choice: str) -> Path:
    """Return the path of a root. Raises UsageError if no folder can be there, UnreachableError if nobody can say."""
    try:
        path = Path(choice).expanduser().absolute()
        nearest = next(folder for folder in (path, *path.parents) if try_again(partial(_is_there, folder), folder))
        is_folder = stat.S_ISDIR(try_again(nearest.stat, nearest).st_mode)
    except FileNotFoundError:
        raise UsageError(f"{origin} {choice}: {nearest} is a link to nothing; name another folder") from None
    except PermissionError:
        return path
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in PASSING_ERRNOS:
            raise UnreachableError(f"{origin} {path}: the file system does not answer ({error.strerror})") from error
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{origin} {choice[:200]}: cannot be a folder ({reason}); name another one") from error
    if not is_folder:
        raise UsageError(f"{origin} {path}: {'' if nearest == path else f'{nearest} '}is a file; name a folder")
    return path


def _is_there(path: Path) -> bool:
    """Whether there is anything of this name, also a link to nothing."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def find_root(path: str | Path | None = None) -> Root:
    """Find the root: the given one, SEEDFOLD_ROOT, the site file, the nearest marked folder upwards, ``./runs``."""
    for origin, choice in _root_choices(path):
        if choice:
            return Root(_check_root(origin, str(choice)))
    here = Path.cwd()
    return Root(_find_marked_root(here) or here / "runs")
