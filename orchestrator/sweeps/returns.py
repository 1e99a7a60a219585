"""The return values of jobs, in the form that Hydra's sweepers expect."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from seedfold.jobs.description import JobDescription
from seedfold.jobs.job_overrides import overrides_of
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import JobState, JobStates
from seedfold.orchestrator.state.overview import job_label

_RETURN_FILE = "return.json"
_LOG_TAIL_BYTES = 8000


class FailedJobError(RuntimeError):
    """A job that is not done: the reason, the path of its log, and the end of the log with the job's traceback."""


def read_job_returns(
    root: Root, study: StudyFolder, jobs: Iterable[JobDescription], with_config: bool = True
) -> Iterator[JobReturn]:
    """Yield what each job returned, if asked for with its configuration, which takes milliseconds per job.

    Reading the value of a job that is not done raises FailedJobError.
    """
    ledger = Ledger(study)
    assert ledger.plans.header is not None
    states = JobStates(root, ledger, RetryPolicies.parse(ledger.plans.header.settings["failures"]))
    for job in jobs:
        yield _read_job_return(job, states.of(job.id), _job_config(job) if with_config else None)


def _job_config(job: JobDescription) -> DictConfig:
    return OmegaConf.create({key: value for key, value in job.config.items() if key != "hydra"})


def _read_job_return(job: JobDescription, job_state: JobState, config: DictConfig | None) -> JobReturn:
    job_return = JobReturn(overrides=overrides_of(job), cfg=config, task_name=job.study)
    if job_state.state != "done":
        job_return.status, job_return.return_value = JobStatus.FAILED, FailedJobError(_failure_message(job, job_state))
        return job_return
    record = json.loads((job_state.holding_study.result_folder(job.id, job_state.attempt) / _RETURN_FILE).read_text())
    job_return.working_dir = record["output_dir"]
    job_return.status, job_return.return_value = JobStatus.COMPLETED, record["value"]
    return job_return


def _failure_message(job: JobDescription, job_state: JobState) -> str:
    log = job_state.holding_study.log_file(job.id, job_state.attempt)
    summary = f"{job_label(job)} is {job_state.state}" + (f": {job_state.reason}" if job_state.reason else "")
    return f"{summary}\nlog {log}\n{_log_tail(log)}" if log.exists() else summary


def _log_tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        return file.read().decode(errors="replace").rstrip()
