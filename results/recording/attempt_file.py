"""The file by which all processes of an attempt find out which job they belong to.

The variable SEEDFOLD_ATTEMPT holds its path; child processes inherit it. The file is removed when the attempt ends.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.description import JobDescription

ATTEMPT_VARIABLE = "SEEDFOLD_ATTEMPT"
RECORDS = "records"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of a job.

    ``job_folder`` is the same for all attempts. In it, ``records`` is what the job records while it runs, until its
    result is published, and ``folder`` belongs to the program, which keeps checkpoints and its own files there. After
    metrics of ``pause_after`` epochs have been logged the attempt is asked to stop; None lets it run to its end.
    """

    description: JobDescription
    number: int
    job_folder: Path
    pause_after: int | None = None

    @property
    def records(self) -> Path:
        """The folder of what the job records while it runs."""
        return self.job_folder / RECORDS

    @property
    def folder(self) -> Path:
        """The folder that belongs to the program."""
        return self.job_folder / "run"

    @property
    def stop_file(self) -> Path:
        """The file that exists from the moment on at which the attempt was asked to stop."""
        return self.records / f"stop.{self.number}"

    @property
    def asks_file(self) -> Path:
        """The file that exists as soon as a process has asked whether it has to stop."""
        return self.records / f"asks.{self.number}"

    @property
    def stopped_file(self) -> Path:
        """The file by which a process says that it has stopped early, as it was asked to."""
        return self.records / f"stopped.{self.number}"

    @property
    def pause_file(self) -> Path:
        """The file that exists once so many epochs were logged that the attempt is to be paused."""
        return self.records / f"pause.{self.number}"

    @property
    def paused_file(self) -> Path:
        """The file with the metrics of an attempt that was paused."""
        return self.records / f"paused.{self.number}.json"

    @property
    def progress_file(self) -> Path:
        """The file that says how far the attempt is."""
        return self.records / f"progress.{self.number}.json"

    def request_stop(self) -> None:
        """Tell all processes of the attempt that it has to stop; nothing to do where it has not begun."""
        try:
            self.stop_file.touch()
        except OSError as error:
            # The job's own process gets a signal in any case.
            if self.records.exists():
                print(f"{self.stop_file}: {error.strerror}", flush=True)

    def write(self) -> Path:
        """Write the file whole, for the processes that begin after this; return its path."""
        self.records.mkdir(parents=True, exist_ok=True)
        file = self._file
        temporary = file.with_suffix(".new")
        record = {"job": self.description.to_dict(), "attempt": self.number, "pause_after": self.pause_after}
        temporary.write_text(json.dumps(record))
        temporary.rename(file)
        return file

    @property
    def _file(self) -> Path:
        return self.records / f"attempt.{self.number}.json"

    def end(self) -> None:
        """Remove the file, and the folder of records if nothing was recorded for a later attempt."""
        files = (self._file, self.stop_file, self.asks_file, self.stopped_file, self.pause_file, self.progress_file)
        for file in files:
            file.unlink(missing_ok=True)
        if self.records.is_dir() and not any(self.records.iterdir()):
            self.records.rmdir()

    @classmethod
    def read(cls, file: Path) -> Attempt:
        """Read it. Raises FileNotFoundError when the attempt has ended."""
        record = json.loads(file.read_text())
        description = JobDescription.from_dict(record["job"])
        return cls(description, record["attempt"], file.parents[1], record.get("pause_after"))

    @classmethod
    def of_this_process(cls) -> Attempt | None:
        """The attempt that this process, or the one that started it, is part of; None outside of jobs."""
        file = os.environ.get(ATTEMPT_VARIABLE)
        return cls.read(Path(file)) if file else None
