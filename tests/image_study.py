"""A study of images in a folder of its own: its sample data, commands there, and jobs that are killed."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from command_server import training_command
from killed_processes import count_events, kill_jobs

from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger

_WAIT_S = 1500


class ImageStudy:
    """A folder with sample data in ``data``, in which commands run; every command names its root."""

    def __init__(self, folder: Path, study: str, *make_data: str) -> None:
        self.folder, self.name = folder, study
        self.environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
        self.run("make-data", *(make_data or (study,)), "--out", "data")

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start the command."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen([training_command(), *args], cwd=self.folder, env=self.environment, text=True, **pipes)

    def run(self, *args: str) -> str:
        """Run the command, which has to succeed; return what it printed."""
        started = self.start(*args)
        output, _ = started.communicate(timeout=_WAIT_S)
        assert started.returncode == 0, output
        return output

    def study_folder(self, root: str, name: str = "") -> StudyFolder:
        """The folder of a study under a root."""
        return Root(self.folder / root).study_folder(name or self.name)

    def kill_jobs_when(self, *args: str, conditions: Sequence[Callable[[StudyFolder], object]]) -> None:
        """Run a command with ``--root killed``; kill every job without a word as soon as a condition holds, in order.

        Each job is tried again as often. On a machine so fast that a condition never holds, nobody is killed.
        """
        retries = f"failures.kinds.error.retries={len(conditions)}"
        launched, study = self.start(*args, retries, "--root", "killed"), self.study_folder("killed")
        for condition in conditions:
            while not condition(study) and launched.poll() is None:
                time.sleep(0.02)
            kill_jobs(study)
        launched.communicate(timeout=_WAIT_S)


def each_done_once(study: StudyFolder) -> bool:
    """Whether every job of a study was done, and none of them twice."""
    return count_events(study, "done") == Counter(job.id for job in Ledger(study).plans.current_jobs.values())


def has_checkpoint(study: StudyFolder) -> bool:
    """Whether a job has checkpoints to go on from."""
    return any(study.path.glob("jobs/*/*/previous.ckpt"))
