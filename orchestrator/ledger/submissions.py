"""Submissions: which jobs were submitted together, and whether a worker or a scheduler still has them.

``submissions/TOKEN/intent.json`` is on disk before anything is started. On this machine one worker runs all its jobs. A
scheduler runs it as an array of tasks, each with a worker of its own (see `seedfold.orchestrator.ledger.task_records`).
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.copy_origin import observation_time, process_liveness
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError, naming_damaged_file, read_record
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.past_caches import longest_cache_s, look_past_caches
from seedfold.orchestrator.ledger.process_identity import Liveness, ProcessIdentity
from seedfold.orchestrator.ledger.task_records import TaskRecord, TaskRecords
from seedfold.orchestrator.settings.cluster import ClusterSettings, read_stored
from seedfold.results.store.passing_errors import exists, try_again

_REMEDY = "remove this folder; its jobs are then waiting, and seedfold resume STUDY starts them"
PAUSE_AFTER = "pause_after"
"""The key of a submission's settings with the epochs after which jobs are paused, by job."""
SUBMISSION_KEYS = ("cluster", "failures", PAUSE_AFTER)
"""The settings that a submission keeps."""


@dataclass(frozen=True, slots=True)
class TaskArray:
    """How a scheduler runs a submission: tasks of ``per_task`` jobs, ``side_by_side`` of them at a time.

    ``resources`` are those of one job; ``after`` has the tokens of submissions that have to end before this one starts;
    ``exclude`` has the nodes on which no task may run.
    """

    stage: str
    resources: Resources
    per_task: int
    side_by_side: int
    after: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> TaskArray:
        """Read the JSON form."""
        resources = Resources.from_dict(record["resources"])
        tuples = {key: tuple(record[key]) for key in ("after", "exclude")}
        return cls(**{**record, "resources": resources, **tuples})


@dataclass(frozen=True)
class Submission:
    """Jobs that are submitted together, with the settings (``cluster``, ``failures``) with which they run.

    ``rerun_attempts`` has the jobs that have a result and are to be run again, each with the number of its latest
    attempt. ``snapshot`` names the code that the jobs run; with None they run the code that exists when they start.
    ``array`` is None for a submission to this machine, which is one task. Each command that a person runs by hand is a
    task of a submission for which no worker is started (see `seedfold.orchestrator.dispatch.rendered_job`).
    """

    folder: Path
    jobs: tuple[str, ...]
    rerun_attempts: Mapping[str, int]
    settings: Mapping[str, Any]
    code_folder: str
    launcher: ProcessIdentity
    silent_s: float
    array: TaskArray | None
    created: float
    snapshot: str | None = None

    @property
    def _study_folder(self) -> StudyFolder:
        return StudyFolder(self.folder.parents[1])

    @property
    def token(self) -> str:
        """The submission's unique name."""
        return self.folder.name

    @property
    def log_file(self) -> Path:
        """The log of a worker on this machine, and of the processes that start it."""
        return self.folder / "worker.log"

    @cached_property
    def tasks(self) -> TaskRecords:
        """The records of its tasks."""
        return TaskRecords(self.folder)

    @property
    def pause_after(self) -> Mapping[str, int]:
        """The epochs after which jobs are paused, for those that do not train to their end."""
        found: Mapping[str, int] = self.settings.get(PAUSE_AFTER, {})
        return found

    @property
    def task_count(self) -> int:
        """Number of its tasks."""
        return 1 if self.array is None else -(-len(self.jobs) // self.array.per_task)

    def jobs_of_task(self, task_index: int) -> tuple[str, ...]:
        """The jobs of one task."""
        if self.array is None:
            return self.jobs
        return self.jobs[task_index * self.array.per_task : (task_index + 1) * self.array.per_task]

    @staticmethod
    def new_token() -> str:
        """A new unique name."""
        return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(4).hex()}"

    @classmethod
    def create(
        cls,
        study: StudyFolder,
        jobs: Sequence[str],
        settings: Mapping[str, Any],
        code_folder: Path,
        rerun_attempts: Mapping[str, int] | None = None,
        array: TaskArray | None = None,
        token: str | None = None,
        snapshot: str | None = None,
    ) -> Submission:
        """Write the intent to disk, under a new token unless one is given.

        Raises FileExistsError if the token is taken.
        """
        folder = study.submissions_folder / (token or cls.new_token())
        intent = {
            "jobs": list(jobs),
            "rerun": dict(rerun_attempts or {}),
            "settings": dict(settings),
            "code_folder": str(code_folder),
            "snapshot": snapshot,
            "launcher": ProcessIdentity.current().to_dict(),
            "array": None if array is None else {**asdict(array), "resources": array.resources.to_dict()},
            # A launch makes several within a millisecond, and they are sorted by it.
            "created": round(time.time(), 6),
        }
        if not create_once(folder / "intent.json", json.dumps(intent, indent=1)):
            raise FileExistsError(folder)
        return cls.read(folder)

    @classmethod
    def read(cls, folder: Path) -> Submission:
        """Read an intent. Raises FileNotFoundError if there is none, or none yet; DamagedFileError if it is damaged."""
        file = folder / "intent.json"
        with naming_damaged_file(file, _REMEDY):
            return cls._from_intent(folder, read_record(file, _REMEDY))

    @classmethod
    def _from_intent(cls, folder: Path, intent: Mapping[str, Any]) -> Submission:
        if not all(isinstance(job, str) for job in intent["jobs"]):
            raise TypeError("jobs")
        settings = {**intent["settings"], "cluster": read_stored(intent["settings"]["cluster"])}
        return cls(
            folder=folder,
            jobs=tuple(intent["jobs"]),
            rerun_attempts={job: int(attempt) for job, attempt in dict(intent["rerun"]).items()},
            settings=settings,
            code_folder=intent["code_folder"],
            launcher=ProcessIdentity.from_dict(intent["launcher"]),
            silent_s=ClusterSettings.parse(settings["cluster"]).silent_s,
            array=None if intent["array"] is None else TaskArray.from_dict(intent["array"]),
            created=float(intent["created"]),
            snapshot=intent.get("snapshot"),
        )

    def import_path(self) -> list[str]:
        """The folder that comes first on the import path of the worker and its jobs.

        Raises UsageError if the snapshot is gone.
        """
        return [
            *([] if self.snapshot is None else [str(self._study_folder.snapshot_modules_folder(self.snapshot))]),
            self.code_folder,
        ]

    def python_path(self) -> str:
        """``PYTHONPATH`` for the processes that this process starts for the submission."""
        others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        return os.pathsep.join(dict.fromkeys(filter(None, [*self.import_path(), *others])))

    def setup_lines(self) -> list[str]:
        """Lines of shell that make the task itself run the snapshot of the code, as its jobs do."""
        if self.snapshot is None:
            return []
        return [f'export PYTHONPATH={shlex.quote(self.import_path()[0])}"${{PYTHONPATH:+:$PYTHONPATH}}"']

    def worker_process(self) -> ProcessIdentity | None:
        """The process of its worker on this machine.

        None if it has not started yet, or if a scheduler runs the submission.
        """
        return self.tasks.worker_process(0) if self.array is None else None

    def scheduler_id(self) -> str | None:
        """The scheduler's number of its array; None as long as no number is recorded."""
        try:
            return str(self._submitted["scheduler_id"])
        except FileNotFoundError:
            return None

    @property
    def _submitted(self) -> Mapping[str, Any]:
        """What was recorded of its start. Raises FileNotFoundError if nothing was, or DamagedFileError."""
        file = self.folder / "submitted.json"
        record = read_record(file, _REMEDY)
        with naming_damaged_file(file, _REMEDY):
            ProcessIdentity.from_dict(record["process"]) if self.array is None else record["scheduler_id"]
        return record

    def mark_unsubmittable(self, reason: str) -> None:
        """Record that the scheduler will never accept it, so that its jobs wait for a person."""
        create_once(self.folder / "void", reason)

    def is_unsubmittable(self) -> bool:
        """Whether the scheduler will never accept it."""
        return exists(self.folder / "void")

    def has_ended(self) -> bool:
        """Whether a worker on this machine recorded that it has ended.

        What a scheduler runs is recorded for each task.
        """
        return self.array is not None or self.tasks.record_of(0).is_over

    def liveness(self, task_index: int = 0, restart: int | None = None) -> Liveness:
        """Return whether the worker of a task is alive or about to start.

        If ``restart`` is given, the worker after that restart.

        A task of a scheduler is alive until its worker or the scheduler says that it has ended.
        """
        mark = self.tasks.record_of(task_index)
        if mark.is_over or (restart is not None and mark.last_start > restart):
            return "dead"
        if self.array is not None:
            return "alive"
        liveness = process_liveness(
            self._study_folder, self.tasks.worker_process(task_index) or self._starting_process()
        )
        return liveness if liveness != "unknown" else self._liveness_by_heartbeat(task_index)

    def _starting_process(self) -> ProcessIdentity:
        """The process that is about to start the worker: the submitted task if it exists already, else the launcher."""
        try:
            return ProcessIdentity.from_dict(self._submitted["process"])
        except FileNotFoundError:
            return self.launcher

    def _liveness_by_heartbeat(self, task_index: int) -> Liveness:
        """A worker is dead if it is silent for long, and for as long as this machine may not see its heartbeats."""
        longest_s = longest_cache_s(self._study_folder.path)
        if longest_s and self._silence_s(task_index) >= self.silent_s:
            look_past_caches(self.tasks.folder, longest_s)
        return "alive" if self._silence_s(task_index) < self.silent_s + longest_s else "dead"

    def _silence_s(self, task_index: int) -> float:
        """How long ago the last heartbeat of a task was, or the intent, if there was none."""
        intent = self.folder / "intent.json"
        last_heartbeat = self.tasks.last_heartbeat(task_index) or try_again(intent.stat, intent).st_mtime
        return observation_time(self._study_folder) - last_heartbeat

    def open_jobs(self, records: Mapping[int, TaskRecord] | None = None) -> list[str]:
        """The jobs of the tasks that are running or will run; ``records`` are those of the tasks, if they are known."""
        if self.array is None:
            return list(self.jobs) if self.liveness() != "dead" else []
        if self.is_unsubmittable():
            return []
        marks = self.tasks.records() if records is None else records
        over = {index for index, mark in marks.items() if mark.is_over}
        return [job for index in range(self.task_count) if index not in over for job in self.jobs_of_task(index)]


class Submissions:
    """The submissions of a study; each `refresh` reads what is new.

    A submission that was seen dead is not checked again.
    """

    def __init__(self, study: StudyFolder, has_wanted: Callable[[Submission], bool] | None = None) -> None:
        """``has_wanted`` says of which submissions there is something to know; of all of them by default."""
        self._has_wanted = has_wanted or (lambda submission: True)
        self._folder = study.submissions_folder
        self._live: dict[str, Submission] = {}
        self._seen: set[str] = set()
        self.live: list[Submission] = []
        """The submissions that are running or will run."""
        self.open_submission_of: dict[str, Submission] = {}
        """The jobs of those of their tasks that have not ended."""
        self.last_submission_of: dict[str, Submission] = {}
        """Every job that was ever submitted, with its last submission."""
        self._records: dict[str, Mapping[int, TaskRecord]] = {}
        self._ended: set[str] = set()
        self.damaged: dict[str, str] = {}
        """Why submissions cannot be read, by their folder; their jobs count as never submitted."""

    def begin_again(self) -> None:
        """Forget all, so that the next `refresh` reads all: another choice of them is wanted."""
        for known in (self._live, self._seen, self._records, self._ended, self.last_submission_of, self.damaged):
            known.clear()

    def refresh(self) -> None:
        """Read what is new."""
        for entry in self._folder_entries():
            if entry.name not in self._seen and exists(Path(entry.path, "intent.json")):
                self._read(Path(entry))
        queued: dict[str, Submission] = {}
        for token, submission in list(self._live.items()):
            try:
                records = {} if submission.array is None else submission.tasks.records()
                jobs = submission.open_jobs(records)
                self._records[token] = records
                if not jobs:
                    self._ended.add(token)
            except DamagedFileError as error:
                self.damaged[token], jobs = str(error), []
            if not jobs:
                del self._live[token]
            queued.update(dict.fromkeys(jobs, submission))
        self.live, self.open_submission_of = (
            sorted(self._live.values(), key=attrgetter("created")),
            queued,
        )

    def is_task_over(self, token: str, index: int) -> bool:
        """Whether a task of an array was over when this was refreshed."""
        record = self._records.get(token, {}).get(index)
        return token in self._ended or (record is not None and record.is_over)

    def _read(self, folder: Path) -> None:
        """Read a submission. One that cannot be read is read again the next time: it may just be created."""
        try:
            submission = Submission.read(folder)
            if self._has_wanted(submission):
                self._add(submission)
        except DamagedFileError as error:
            self.damaged[folder.name] = str(error)
        else:
            self._seen.add(folder.name)
            self.damaged.pop(folder.name, None)

    def _add(self, submission: Submission) -> None:
        self._live[submission.token] = submission
        for job in submission.jobs:
            last_submission = self.last_submission_of.get(job)
            if last_submission is None or last_submission.created <= submission.created:
                self.last_submission_of[job] = submission

    def _folder_entries(self) -> list[os.DirEntry[str]]:
        try:
            entries = try_again(lambda: list(os.scandir(self._folder)), self._folder)
            return sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            return []
