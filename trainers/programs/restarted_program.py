"""The program of a job, started again by the job: Lightning starts the processes of its other devices so.

Such a process is a plain run of the program. It composes its configuration from the files of the moment, which may have
been edited since the launch, and would then train something else than the job. It gets the job's configuration.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from seedfold.jobs.description import JobDescription
from seedfold.jobs.work import Work
from seedfold.trainers.programs.drawn_values import DrawnValues
from seedfold.trainers.programs.job_config import arguments_of, compose_job_config, set_globals

VARIABLE = "SEEDFOLD_PROGRAM"
"""The environment variable that names the file with the job; Seedfold's plugin for Hydra looks for it."""
_FILE = "program.json"
_until_the_end = ExitStack()


def note_job(work: Work, program_file: str) -> None:
    """Let processes that this job starts know the job."""
    note = work.folder / _FILE
    job = work.description.to_dict()
    note.write_text(json.dumps({"process": os.getpid(), "file": program_file, "job": job}), encoding="utf-8")
    os.environ[VARIABLE] = str(note)


def use_config_of_job(note: Path) -> None:
    """Let Hydra in this process hand out the configuration of a job whose program runs here again."""
    from hydra._internal.hydra import Hydra

    if not note.is_file():
        return
    record = json.loads(note.read_text(encoding="utf-8"))
    main_file = getattr(sys.modules["__main__"], "__file__", None)
    if record["process"] == os.getpid() or main_file is None or Path(main_file).absolute() != Path(record["file"]):
        return
    job, compose = JobDescription.from_dict(record["job"]), Hydra.compose_config
    Hydra.compose_config = _with_config_of_job(job, compose, note.parent)  # type: ignore[method-assign]
    # Only the first Hydra of the process is the program's.
    del os.environ[VARIABLE]


def _with_config_of_job(
    job: JobDescription, compose: Callable[..., DictConfig], job_folder: Path
) -> Callable[..., DictConfig]:
    given = [word for word in arguments_of(job) if not word.startswith("--")]

    def compose_config(
        hydra: Any, config_name: str | None, overrides: list[str], *args: Any, **kwargs: Any
    ) -> DictConfig:
        composed = compose(hydra, config_name, overrides, *args, **kwargs)
        others = overrides[len(given) :]
        is_of_job = overrides[: len(given)] == given and all(word.lstrip("+~").startswith("hydra") for word in others)
        if not is_of_job or kwargs["run_mode"] is not RunMode.RUN:
            return composed
        program = job.config["hydra"]["program"]
        set_globals(program, composed.hydra.job.name)
        config = compose_job_config(job)
        with read_write(config), open_dict(config):
            config["hydra"] = composed.hydra
        drawn = DrawnValues.of_program(job_folder, program)
        _until_the_end.enter_context(drawn.used_in(config, program.get("cached_values", {})))
        return config

    return compose_config
