"""What jobs returned, as Hydra's sweepers want it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from seedfold.jobs.description import JobDescription
from seedfold.jobs.hydra_program import overrides_of
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.settings.failures import Policies
from seedfold.orchestrator.state.job_states import Standing, Standings
from seedfold.orchestrator.state.overview import name_of

_RETURN = "return.json"
_TAIL = 8000


class FailedJobError(RuntimeError):
    """A job that did not get done: why, where its log is, and the end of that log, with the job's traceback."""


def returns_of(
    root: Root, study: StudyFolder, jobs: Iterable[JobDescription], with_config: bool = True
) -> Iterator[JobReturn]:
    """Yield what each job returned, with its configuration, which takes milliseconds, where that is asked for.

    Reading the value of one that is not done raises FailedJobError.
    """
    ledger = Ledger(study)
    assert ledger.plans.header is not None
    standings = Standings(root, ledger, Policies.parse(ledger.plans.header.settings["failures"]))
    for job in jobs:
        yield _return_of(job, standings.of(job.id), _config_of(job) if with_config else None)


def _config_of(job: JobDescription) -> DictConfig:
    return OmegaConf.create({key: value for key, value in job.config.items() if key != "hydra"})


def _return_of(job: JobDescription, standing: Standing, config: DictConfig | None) -> JobReturn:
    returned = JobReturn(overrides=overrides_of(job), cfg=config, task_name=job.study)
    if standing.state != "done":
        returned.status, returned.return_value = JobStatus.FAILED, FailedJobError(_why(job, standing))
        return returned
    left = json.loads((standing.home.published(job.id, standing.attempt) / _RETURN).read_text())
    returned.working_dir = left["output_dir"]
    returned.status, returned.return_value = JobStatus.COMPLETED, left["value"]
    return returned


def _why(job: JobDescription, standing: Standing) -> str:
    log = standing.home.log(job.id, standing.attempt)
    head = f"{name_of(job)} is {standing.state}" + (f": {standing.reason}" if standing.reason else "")
    return f"{head}\nlog {log}\n{_end_of(log)}" if log.exists() else head


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        return file.read().decode(errors="replace").rstrip()
