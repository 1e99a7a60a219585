"""One job in the foreground, in a scratch folder. Ledger and store are read, for the job's parents, and not changed."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.work import ConfigFailure, DataFailure, RunBlocked, Work
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import Plans
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.worker.job_process import resolve_config_of_job
from seedfold.orchestrator.worker.messages import job_environment
from seedfold.orchestrator.worker.template_client import is_program

STEPS_KEY = "trainer.max_steps"


def with_step_limit(job: JobDescription, max_steps: int) -> JobDescription:
    """Return the job with a limit on its training steps. Raises UsageError if its configuration has no such key."""
    config = deepcopy(job.to_dict()["config"])
    section, key = STEPS_KEY.split(".")
    if key not in (config.get(section) or {}):
        raise UsageError(f"--steps: the configuration of {job.short_id} has no {STEPS_KEY}; leave --steps out")
    config[section][key] = max_steps
    return replace(job, config=config)


def read_job_description(file: Path, id_prefix: str) -> JobDescription:
    """Find a job by the first characters of its id in a file of descriptions, one JSON object per line.

    Raises UsageError if the file cannot be read, or if no job or more than one job fits.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--jobs {file}: cannot be read: {error}") from error
    # Only a few of thousands of lines are parsed: an id is in the line of its job and in those of the job's children.
    matches = {
        job.id: job for job in read_job_descriptions(file, text, containing=id_prefix) if job.id.startswith(id_prefix)
    }
    if len(matches) != 1:
        nearest = did_you_mean(id_prefix, (job.short_id for job in read_job_descriptions(file, text)))
        raise UsageError(f"--jobs {file}: {len(matches) or 'no'} jobs whose id begins with {id_prefix!r}{nearest}")
    return matches.popitem()[1]


def read_job_descriptions(file: Path, text: str, containing: str = "") -> Iterator[JobDescription]:
    """Read the lines of such a file that contain a text. Raises UsageError for a line that is not a description."""
    # Not `splitlines`: the other line separators of Unicode may be inside a JSON text.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and containing in line:
            yield _parse_description(file, number, line)


def _parse_description(file: Path, number: int, line: str) -> JobDescription:
    try:
        return JobDescription.from_dict(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--jobs {file}, line {number}: not a job description ({error}); such"
            " files are written by seedfold plan --jobs"
        ) from error


@dataclass(frozen=True)
class ParentResults:
    """The published folder of each parent that a job needs, and its stage."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)


def find_parent_results(root: Root, study: StudyFolder, job: JobDescription) -> ParentResults:
    """Return where the results of a job's parents are. Raises UsageError for a parent that is not done."""
    if not job.parents:
        return ParentResults()
    states = Overview(root, study.name).states
    folders = {}
    for parent in states.needed_parents(job):
        job_state = states.of(parent)
        if job_state.state != "done":
            raise UsageError(
                f"{job.short_id}: its parent {parent[:12]} is {job_state.state}; this job needs its result first"
            )
        folders[parent] = job_state.holding_study.result_folder(parent, job_state.attempt)
    return ParentResults(folders, {parent: states.stage_of(parent) for parent in folders})


def add_launch_folder_to_path(study: StudyFolder) -> Path:
    """Make the packages importable that were in the folder of the last launch of the study; return this folder."""
    header = Plans(study).header
    folder = header.folder if header else str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return Path(folder)


def set_job_environment(job: JobDescription) -> None:
    """Let this process see what a launched job sees of the scheduler's variables."""
    environment = job_environment(os.environ, {}, of_scheduler=is_program(job))
    os.environ.clear()
    os.environ.update(environment)


def make_scratch_work(job: JobDescription, parents: ParentResults, launch_folder: Path | None = None) -> Work:
    """Prepare an attempt at a job in a new folder of its own, which is not deleted afterwards.

    Raises UsageError if the job needs a value that no parent has.
    """
    try:
        config, _ = resolve_config_of_job(job, parents.folders, parents.stages)
    except (RunBlocked, ConfigFailure, DataFailure) as error:
        raise UsageError(f"{job.short_id}: {error}") from error
    folder = Path(tempfile.mkdtemp(prefix=f"seedfold-run-{job.short_id}-"))
    (folder / "job").mkdir()
    (folder / "result").mkdir()
    return Work(
        description=replace(job, config=config),
        attempt=0,
        folder=folder / "job",
        staging=folder / "result",
        parents=parents.folders,
        stages=parents.stages,
        launch_folder=launch_folder or Path.cwd(),
    )
