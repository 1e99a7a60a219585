"""The weights that a job has kept: their checkpoints, a model that has them, and files for other programs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.work import ConfigFailure
from seedfold.orchestrator.state.job_details import JobDetails
from seedfold.results.store.named_output import refuse_existing

_BEST, _LAST = "best", "last"
_OF_HEAD = f"{_BEST}/"


@dataclass(frozen=True)
class WrittenWeights:
    """The files with the weights of one checkpoint, which ``role`` names: best, last, or best/HEAD."""

    role: str
    files: tuple[Path, ...]


def find_checkpoint(details: JobDetails, role: str | None = None) -> tuple[str, Path]:
    """Return a checkpoint of a job, with its role; by default ``best``, or ``last`` if there is no best.

    Raises UsageError if it is not there.
    """
    found = details.checkpoints()
    if not found:
        raise UsageError(
            f"{details.job.short_id}: has no checkpoints; the job has kept none, or checkpoint.keep or seedfold gc has"
            " removed them"
        )
    chosen = role or (_BEST if _BEST in found else _LAST)
    if chosen not in found:
        raise UsageError(f"{details.job.short_id}: has no checkpoint {chosen!r}; there are: {', '.join(found)}")
    return chosen, found[chosen]


def load_model(details: JobDetails, role: str | None = None) -> Any:
    """Return the model of a job's configuration with the weights of a checkpoint; see `Job.model`."""
    _, checkpoint = find_checkpoint(details, role)
    loaded_model = importlib.import_module("seedfold.trainers.learning.loaded_model")
    with _refused_as_usage():
        return loaded_model.load_model(details.config(), checkpoint)


def export_weights(details: JobDetails, file: Path, role: str | None = None) -> list[WrittenWeights]:
    """Write the weights of a checkpoint with their configuration to a new ``file``; by default as `find_checkpoint`.

    If heads have best epochs of their own, the best weights are one file for each head: ``NAME-HEAD``. Raises
    UsageError if the job is not done, has no such weights, or something has the name of a file; nothing is written
    then.
    """
    if details.view.state != "done":
        raise UsageError(
            f"{details.job.short_id}: is {details.view.state}; weights are exported when a job is done;"
            " seedfold show JOB has the paths of its checkpoints"
        )
    chosen, checkpoint = find_checkpoint(details, role)
    heads = [one for one in details.checkpoints() if chosen == _BEST and one.startswith(_OF_HEAD)]
    checkpoints = {_file_of_head(file, one): find_checkpoint(details, one) for one in heads}
    weights_files = importlib.import_module("seedfold.trainers.learning.weights_files")
    with _refused_as_usage():
        refuse_existing(file)
        targets = checkpoints or {file: (chosen, checkpoint)}
        for target in targets:
            for one in weights_files.written_files(target):
                refuse_existing(one)
        return [
            WrittenWeights(name, tuple(weights_files.write_weights(target, path, _describe(details, name))))
            for target, (name, path) in targets.items()
        ]


def _file_of_head(file: Path, role: str) -> Path:
    head = role.removeprefix(_OF_HEAD).replace("/", "_")
    return file.with_name(f"{file.stem}-{head}{file.suffix}")


def _describe(details: JobDetails, role: str) -> dict[str, Any]:
    job = details.job
    named = {"study": job.study, "job": job.id, "stage": job.stage, "axes": dict(job.axes)}
    return {**named, "checkpoint": role, "config": details.config()}


@contextmanager
def _refused_as_usage() -> Iterator[None]:
    try:
        yield
    except ConfigFailure as failure:
        raise UsageError(str(failure)) from failure
