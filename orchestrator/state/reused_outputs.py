"""Files for people of jobs that another study of the root has done: they are copied into this study's ``outputs``.

A job that runs copies its own files when it publishes them. A job that is not run again, because another study has
done it, has nobody who would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.jobs.work import OUTPUTS
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.output_files import copy_outputs, count_by_stage, output_folder
from seedfold.orchestrator.state.job_states import JobState, JobStates


def copy_reused_outputs(study: StudyFolder, states: JobStates, jobs: Sequence[JobDescription]) -> None:
    """Copy the files of each of ``jobs``, all of the study, that another study has done; not those that are here."""
    counts = count_by_stage(jobs)
    for job, job_state in _find_reused(study, states, jobs):
        source = job_state.holding_study.result_folder(job.id, job_state.attempt) / OUTPUTS
        target = output_folder(study, job, counts[job.stage])
        if not _has_all_files(source, target):
            copy_outputs(source, target)


def count_reused(study: StudyFolder, states: JobStates, jobs: Sequence[JobDescription]) -> dict[str, int]:
    """Return how many of the different ``jobs`` another study has done, by its name."""
    different = list({job.id: job for job in jobs}.values())
    return dict(Counter(state.holding_study.name for _, state in _find_reused(study, states, different)))


def _find_reused(
    study: StudyFolder, states: JobStates, jobs: Sequence[JobDescription]
) -> Iterator[tuple[JobDescription, JobState]]:
    for job in jobs:
        job_state = states.of(job.id)
        if job_state.state == "done" and job_state.holding_study.path != study.path:
            yield job, job_state


def _has_all_files(source: Path, target: Path) -> bool:
    """Whether each file of ``source`` is in ``target`` too, of the same size and not older."""
    for file in source.rglob("*"):
        if file.is_file():
            try:
                copy, original = (target / file.relative_to(source)).stat(), file.stat()
            except FileNotFoundError:
                return False
            if copy.st_size != original.st_size or copy.st_mtime_ns < original.st_mtime_ns:
                return False
    return True
