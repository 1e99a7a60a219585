"""Where things are under a root. No path inside a root is absolute: a root may be moved or copied."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.settings.site import read_site_settings

ROOT_MARK = ".seedfold"
SNAPSHOT_RECORD = "snapshot.json"
"""Written last into the folder of a snapshot, which is whole when it is there."""
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
    def submissions_folder(self) -> Path:
        """One folder per submission, named by its token."""
        return self.path / "submissions"

    @property
    def events_folder(self) -> Path:
        """One append-only JSON-lines file per writer: the only state."""
        return self.path / "events"

    @property
    def outputs_folder(self) -> Path:
        """Files for people: tables, figures, the report."""
        return self.path / "outputs"

    @property
    def snapshots_folder(self) -> Path:
        """One folder per snapshot of code, named by its digest."""
        return self.path / "code" / "snapshots"

    def snapshot_modules_folder(self, digest: str) -> Path:
        """What comes first on the path of what runs a snapshot. Raises UsageError if it is gone."""
        folder = self.snapshots_folder / digest
        if not (folder / SNAPSHOT_RECORD).exists():
            raise UsageError(
                f"{folder}: the snapshot of the code is gone; seedfold resume {self.name} runs today's code"
            )
        return folder / "modules"

    def claim_file(self, job_id: str, attempt: int) -> Path:
        """The file whose exclusive creation starts an attempt."""
        return self.path / "claims" / job_id[:2] / f"{job_id}.{attempt}"

    def job_folder(self, job_id: str) -> Path:
        """The job's own folder: logs, checkpoints, staging."""
        return self.path / "jobs" / job_id[:2] / job_id

    def log_file(self, job_id: str, attempt: int) -> Path:
        """What an attempt printed."""
        return self.job_folder(job_id) / f"log.{attempt}.txt"

    def result_folder(self, job_id: str, attempt: int) -> Path:
        """The whole result of an attempt; the folder exists only when everything in it does."""
        return Path(self.result_folder_text(job_id, attempt))

    def result_folder_text(self, job_id: str, attempt: int) -> str:
        """`result_folder` as text: for those who ask about every job of a study."""
        return f"{self.path}/store/{job_id[:2]}/{job_id}.{attempt}"


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that holds studies."""

    path: Path

    def study_folder(self, name: str) -> StudyFolder:
        """Return the folder of a study, which need not exist. Raises UsageError for an unusable name."""
        if not _STUDY_NAME.fullmatch(name):
            raise UsageError(f"study: {name!r} cannot name a folder; use up to 100 letters, digits, '.', '_' and '-'")
        folder = self.path / name
        if folder.is_file():
            raise UsageError(f"study: {folder} is a file; choose another name")
        return StudyFolder(self.path / folder.resolve().name if self._is_link_to_study(folder) else folder)

    def _is_link_to_study(self, folder: Path) -> bool:
        """Whether this is a link to a study beside it: one study under two names would wait for itself."""
        return folder.is_symlink() and folder.resolve().parent == self.path.resolve()

    def study_folders(self) -> Iterator[StudyFolder]:
        """All studies that have a plan and may be read, by name; links to studies beside them are left out."""
        if self.path.is_dir():
            for folder in sorted(self.path.iterdir()):
                # Unlike `is_dir`, `access` has an answer for folders that other users keep to themselves.
                if os.access(folder / "plans", os.R_OK | os.X_OK) and not self._is_link_to_study(folder):
                    yield StudyFolder(folder)

    def existing_study(self, name: str) -> StudyFolder:
        """Return the folder of a study that exists. Raises UsageError, with the nearest name, if it does not."""
        folder = self.study_folder(name)
        if not folder.plans_folder.is_dir():
            known = [study.name for study in self.study_folders()]
            listed = f"; there are: {', '.join(known)}" if known else "; it is empty"
            raise UsageError(f"no study {name!r} under {self.path}{did_you_mean(name, known)}{listed}")
        return folder

    def mark_as_root(self) -> None:
        """Mark the folder as a root, so that commands run below it find it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.apply_group_umask()
        if not (self.path / ROOT_MARK).exists():
            (self.path / ROOT_MARK).touch()

    def apply_group_umask(self) -> None:
        """Have what this process and those that it starts create writable for the group if the root is: for all in it.

        A root that several people work in is a folder that their group may write to, with the set-group-ID bit.
        """
        if self.path.is_dir() and self.path.stat().st_mode & stat.S_IWGRP:
            os.umask(os.umask(0o077) & ~stat.S_IRWXG)


def _find_marked_root(folder: Path) -> Path | None:
    for above in (folder, *folder.parents):
        for candidate in (above, above / "runs"):
            if (candidate / ROOT_MARK).exists():
                return candidate
    return None


def find_root(path: str | Path | None = None) -> Root:
    """Find the root: as given, SEEDFOLD_ROOT, the site file, the nearest marked one upwards, ``./runs``."""
    choice = path or os.environ.get("SEEDFOLD_ROOT") or read_site_settings().get("root")
    if choice:
        return Root(Path(str(choice)).expanduser().absolute())
    here = Path.cwd()
    return Root(_find_marked_root(here) or here / "runs")
