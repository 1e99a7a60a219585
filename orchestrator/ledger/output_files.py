"""Files for people in ``outputs/STAGE`` of a study, with one folder for each job if the stage has several jobs.

They are copies of files of the result. They are made before the result is published, because a job that is killed in
between runs again. `seedfold.orchestrator.state.reused_outputs` copies those of jobs that another study has done.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.store.atomic_files import replace_file

_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9=.,_-]+")
_MAX_NAME_LENGTH = 100


def count_by_stage(jobs: Iterable[JobDescription]) -> Counter[str]:
    """Count the places of each stage."""
    return Counter(job.stage for job in jobs)


def output_folder(study: StudyFolder, job: JobDescription, jobs_of_stage: int) -> Path:
    """Return the folder for the files of a job, one of so many in its stage. Two of them never share a folder."""
    folder = study.outputs_folder / job.stage
    if not job.axes or jobs_of_stage == 1:
        return folder
    from seedfold.results.evaluation.axes import format_axes

    name = _UNSAFE_CHARACTERS.sub("-", format_axes(job.axes).replace(" ", ","))
    return folder / f"{name[:_MAX_NAME_LENGTH]}-{job.short_id}"


def copy_outputs(source: Path, target: Path) -> None:
    """Copy a folder's files, if the folder exists, each file whole; files of the same name are replaced."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        with replace_file(target / file.relative_to(source)) as temporary:
            shutil.copyfile(file, temporary)
