"""What a job's `run` function gets, and the exceptions by which it says that it stopped early or failed.

A study's ``run`` is the dotted name of a callable ``run(work: Work) -> None``. It computes, puts everything that
should be kept into ``work.staging``, and returns; the staging folder is then published whole or not at all. Its
module may declare ``PRELOAD: tuple[str, ...]``, modules that a warm worker imports once before it starts jobs, and a
function ``after_publish(work: Work) -> None``, which removes what was kept only until the result was safe; its
``work.staging`` is the published folder. A module that runs programs of other people may have a function
``enter(program, serve) -> str | None``, in which a warm worker brings such a program to where jobs are forked from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from seedfold.jobs.description import JobDescription

SNAPSHOT_RECORD = "snapshot.json"
"""The file that is written last into the folder of a snapshot of the code, beside the folder of its modules."""
OUTPUTS = "outputs"
"""The folder in a result that holds the files for people."""
MICRO_BATCH_HALVINGS = "SEEDFOLD_MICRO_BATCH_HALVINGS"
"""Variable of the environment of a job that had too little GPU memory: how often it halves what it computes at once."""


class RunInterrupted(Exception):
    """Raised by a run that was asked to stop, after it has written a checkpoint to continue from."""


class RunPaused(RunInterrupted):
    """Raised by a run that has trained for ``epochs`` epochs and is to train no further for now, after a checkpoint.

    ``metrics`` are those of the last epoch; None stands for those that the job has logged.
    """

    def __init__(self, epochs: int, metrics: Mapping[str, float] | None = None) -> None:
        super().__init__(f"paused after {epochs} epochs")
        self.epochs, self.metrics = epochs, metrics


class RunBlocked(Exception):
    """A parent's result leaves nothing to do; the message says why.

    The job is then blocked, neither done nor failed.
    """


class ConfigFailure(Exception):
    """The configuration cannot work: for example, a class cannot be imported, or a GPU is missing."""


class DataFailure(Exception):
    """Data is missing, damaged or of the wrong shape. The message names the file and the row if it can."""


class ProgramFailure(Exception):
    """A program that a job ran has failed. The message says how, and the program's own output why."""


class NonFiniteFailure(Exception):
    """A loss or a prediction became infinite or not a number."""


def parents_in(parents: Mapping[str, Path], stages: Mapping[str, str], stage: str) -> list[Path]:
    """The folders of ``parents`` that one stage published; ``stages`` has the stage of each parent."""
    return [folder for parent, folder in parents.items() if stages.get(parent) == stage]


def only_parent(parents: Mapping[str, Path], stages: Mapping[str, str], stage: str) -> Path:
    """As `parents_in`, for a stage with one parent. Raises ConfigFailure if there is none, or more than one."""
    folders = parents_in(parents, stages, stage)
    if len(folders) != 1:
        known = ", ".join(sorted(set(stages.values()))) or "none"
        raise ConfigFailure(f"stage {stage}: {len(folders)} parents, one is needed; stages of parents: {known}")
    return folders[0]


@dataclass(frozen=True)
class Work:
    """One attempt of one job, as the code that runs in it sees it.

    ``folder`` belongs to the job's fit and lives across attempts: checkpoints go there. ``staging`` is new and empty
    for this attempt. ``parents`` holds the published folder of each parent by its id, ``stages`` the stage of each.
    ``launch_folder`` is the folder in which the study was launched.
    ``stop_requested()`` becomes true when the job should write a checkpoint and raise RunInterrupted. ``reads(path)``
    records that the result depends on a file's content. ``progress(done, total)`` tells people how far the job is.
    A job whose training is longer than ``pause_after`` epochs writes a checkpoint after so many of them, and raises
    RunPaused; None lets it train to its end.
    """

    description: JobDescription
    attempt: int
    folder: Path
    staging: Path
    parents: Mapping[str, Path] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)
    launch_folder: Path = Path()
    stop_requested: Callable[[], bool] = lambda: False
    reads: Callable[[Path], None] = lambda path: None
    progress: Callable[[int, int], None] = lambda done, total: None
    pause_after: int | None = None

    @property
    def outputs(self) -> Path:
        """The folder for files for people: part of the result, and copied to ``outputs/STAGE`` of the study."""
        folder = self.staging / OUTPUTS
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def config(self) -> Mapping[str, Any]:
        """The job's resolved configuration."""
        return self.description.config

    def parents_in(self, stage: str) -> list[Path]:
        """The published folders of the parents of one stage."""
        return parents_in(self.parents, self.stages, stage)

    def parent(self, stage: str) -> Path:
        """The published folder of the only parent of a stage.

        Raises ConfigFailure if there is none, or more than one.
        """
        return only_parent(self.parents, self.stages, stage)


class Run(Protocol):
    """The callable that a study's ``run`` names."""

    def __call__(self, work: Work) -> None:
        """Do the job; raise to fail."""
