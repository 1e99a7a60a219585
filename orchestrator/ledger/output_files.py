"""Files for people in ``outputs/STAGE`` of a study, with one folder for each job if the stage has axes.

They are copies of files of the result. They are made before the result is published, because a job that is killed in
between runs again. `seedfold.orchestrator.state.reused_outputs` copies those of jobs that another study has done.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.evaluation.axes import format_axes
from seedfold.results.store.atomic_files import replace_file

_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9=.,_-]+")
_MAX_NAME_LENGTH = 100


def output_folder(study: StudyFolder, job: JobDescription) -> Path:
    """Return the folder for the files of a job. Two jobs of one stage never share a folder."""
    folder = study.outputs_folder / job.stage
    if not job.axes:
        return folder
    name = _UNSAFE_CHARACTERS.sub("-", format_axes(job.axes).replace(" ", ","))
    return folder / f"{name[:_MAX_NAME_LENGTH]}-{job.short_id}"


def copy_outputs(source: Path, target: Path) -> None:
    """Copy a folder's files, if the folder exists, each file whole; files of the same name are replaced."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        with replace_file(target / file.relative_to(source)) as temporary:
            shutil.copyfile(file, temporary)
