"""Where the weights and other files of a job are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.fits import find_fit_folder, has_fit
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.output_files import output_folder
from seedfold.results.recording.current_run import CHECKPOINTS

_FIT_FILE = "fit.json"
_ROLES = ("best", "last")
_RUN_FOLDER = "run"


def find_checkpoints(root: Root, study: StudyFolder, job: str, fit: str) -> dict[str, Path]:
    """Return the checkpoints that are there by role: ``best`` and ``last``, and ``best/HEAD`` for some heads.

    They are those of Seedfold's own trainer, whose ``fit.json`` names them, or those that the program of the job has
    kept in its folder for checkpoints: the newest whose name begins with the role.
    """
    folder = find_fit_folder(root, study, fit)
    if has_fit(folder) and (folder / _FIT_FILE).exists():
        weights = json.loads((folder / _FIT_FILE).read_text(encoding="utf-8")).get("weights") or {}
        return {role: folder / name for role, name in weights.items() if (folder / name).exists()}
    kept = study.job_folder(job) / _RUN_FOLDER / CHECKPOINTS
    newest = {role: _newest(kept.glob(f"{role}*")) for role in _ROLES}
    return {role: file for role, file in newest.items() if file is not None}


def _newest(files: Iterable[Path]) -> Path | None:
    """The newest of some files, of which a running job may remove any."""
    times: dict[Path, int] = {}
    for file in files:
        with suppress(FileNotFoundError):
            times[file] = file.stat().st_mtime_ns
    return max(times, key=times.__getitem__, default=None)


def find_outputs(study: StudyFolder, job: JobDescription) -> Path | None:
    """Return the folder with the files of a job for people; None if there are none.

    The only job of a stage has the folder of the stage, any other a folder in it.
    """
    own, of_stage = (output_folder(study, job, jobs) for jobs in (2, 1))
    if own.is_dir():
        return own
    return of_stage if of_stage.is_dir() and any(path.is_file() for path in of_stage.iterdir()) else None
