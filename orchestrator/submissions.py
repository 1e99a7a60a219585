"""Submissions: which jobs were handed to whom, and whether anybody is still at work on them.

``submissions/TOKEN/intent.json`` is on disk before anything is started. The worker that takes the submission up creates
``worker.json`` once, with its process; a second one steps back. ``ended`` says that it finished in order.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.orchestrator.cluster import Cluster
from seedfold.orchestrator.files import create_once, write_whole
from seedfold.orchestrator.layout import StudyFolder
from seedfold.orchestrator.process import Liveness, ProcessIdentity


@dataclass(frozen=True, slots=True)
class Submission:
    """Jobs handed to one worker, with the settings (``cluster``, ``failures``) that it works under.

    ``rerun`` are those that have a result and are to be done again all the same, each with its latest attempt so far.
    """

    folder: Path
    jobs: tuple[str, ...]
    rerun: Mapping[str, int]
    settings: Mapping[str, Any]
    code_folder: str
    launcher: ProcessIdentity
    silent_s: float

    @property
    def token(self) -> str:
        """The submission's unique name."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """What the worker and everything that starts it printed."""
        return self.folder / "worker.log"

    @classmethod
    def create(
        cls,
        study: StudyFolder,
        jobs: Sequence[str],
        settings: Mapping[str, Any],
        code_folder: Path,
        rerun: Mapping[str, int] | None = None,
    ) -> Submission:
        """Put the intent on disk, under a new token."""
        folder = study.submissions / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(4).hex()}"
        intent = {
            "jobs": list(jobs),
            "rerun": dict(rerun or {}),
            "settings": dict(settings),
            "code_folder": str(code_folder),
            "launcher": ProcessIdentity.current().to_dict(),
        }
        write_whole(folder / "intent.json", [json.dumps(intent, indent=1)])
        return cls.read(folder)

    @classmethod
    def read(cls, folder: Path) -> Submission:
        """Read an intent. Raises FileNotFoundError where there is none (yet)."""
        intent = json.loads((folder / "intent.json").read_text(encoding="utf-8"))
        return cls(
            folder=folder,
            jobs=tuple(intent["jobs"]),
            rerun=intent["rerun"],
            settings=intent["settings"],
            code_folder=intent["code_folder"],
            launcher=ProcessIdentity(**intent["launcher"]),
            silent_s=Cluster.parse(intent["settings"]["cluster"]).silent_s,
        )

    def take_up(self) -> bool:
        """Become the worker of this submission; False if it has, or had, one already."""
        return create_once(self.folder / "worker.json", json.dumps(ProcessIdentity.current().to_dict()))

    def worker(self) -> ProcessIdentity | None:
        """The worker's process; None if none has started yet."""
        try:
            return ProcessIdentity(**json.loads((self.folder / "worker.json").read_text()))
        except FileNotFoundError:
            return None

    def beat(self) -> None:
        """Give a sign of life to those who cannot ask about the process."""
        (self.folder / "heartbeat").touch()

    def end(self) -> None:
        """Say that the worker is through with everything that it could do."""
        create_once(self.folder / "ended", "")

    def has_ended(self) -> bool:
        """Whether the worker said that it is through."""
        return (self.folder / "ended").exists()

    def liveness(self) -> Liveness:
        """Tell whether somebody is at work on this submission, or about to start."""
        if self.has_ended():
            return "dead"
        holder = self.worker() or self._starter()
        known = holder.liveness()
        return known if known != "unknown" else self._by_heartbeat()

    def _starter(self) -> ProcessIdentity:
        """Who is about to start the worker: the submitted task once there is one, the launcher before."""
        try:
            return ProcessIdentity(**json.loads((self.folder / "submitted.json").read_text())["process"])
        except FileNotFoundError:
            return self.launcher

    def _by_heartbeat(self) -> Liveness:
        heartbeat = self.folder / "heartbeat"
        beaten = heartbeat if heartbeat.exists() else self.folder / "intent.json"
        return "alive" if time.time() - beaten.stat().st_mtime < self.silent_s else "dead"


class Submissions:
    """The live submissions of a study, read as they come. What is dead once is never asked about again."""

    def __init__(self, study: StudyFolder) -> None:
        self._folder = study.submissions
        self._known: dict[str, Submission | None] = {}

    def live(self) -> list[Submission]:
        """Return the submissions that somebody is at work on."""
        for entry in self._entries():
            if entry.name not in self._known and Path(entry, "intent.json").exists():
                self._known[entry.name] = Submission.read(Path(entry))
        for token, submission in self._known.items():
            if submission is not None and submission.liveness() == "dead":
                self._known[token] = None
        return [submission for submission in self._known.values() if submission is not None]

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            return sorted(os.scandir(self._folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return []
