"""One attempt at one job, from claim to publication, in a process of its own.

The order of writes is what makes a kill at any instant harmless: the claim first, then work in the staging folder, then
one rename that publishes everything. Whoever finds a claim whose process is dead knows from the store how far it came.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.late_references import has_late_reference, resolve_late_references
from seedfold.jobs.work import OUTPUTS, ConfigFailure, RunBlocked, RunInterrupted, Work, only_parent
from seedfold.orchestrator.code.data_reads import ReadRecorder
from seedfold.orchestrator.code.digests import digest_loaded_files, record_code
from seedfold.orchestrator.ledger.claims import claim_attempt, latest_attempt_number
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.outputs import copy_outputs, output_folder
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.settings.failures import failure_from_exception
from seedfold.orchestrator.worker.messages import AttemptRequest, send_message
from seedfold.orchestrator.worker.nan_metrics import refuse_nan_metrics
from seedfold.results.store.published import publish
from seedfold.results.store.values import read_value


class _StopFlag:
    """Turns true when the job is to stop. The run looks at it when it can write a checkpoint.

    Some schedulers send what they send to all processes of a task, an interrupt first.
    """

    def __init__(self) -> None:
        self.is_set = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._set)

    def _set(self, number: int, frame: object) -> None:
        self.is_set = True

    def __call__(self) -> bool:
        return self.is_set


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Where one attempt lives."""

    request: AttemptRequest
    job: JobDescription
    root: Root
    study: StudyFolder

    @classmethod
    def from_request(cls, request: AttemptRequest) -> _Attempt:
        root = Root(Path(request.root))
        return cls(request, JobDescription.from_dict(request.job), root, root.study_folder(request.study))

    @property
    def staging_folder(self) -> Path:
        return self.study.job_folder(self.job.id) / f"staging.{self.request.attempt}"

    def parent_folders(self) -> dict[str, Path]:
        return {
            parent: self.root.study_folder(study).result_folder(parent, attempt)
            for parent, (study, attempt) in self.request.parents.items()
        }


def find_fit_folder(root: Root, study: StudyFolder, fit: str) -> Path:
    """The folder of a fit: the one where another study under the root has finished it, else this study's own."""
    own = study.job_folder(fit)
    finished = (
        folder.job_folder(fit) for folder in root.study_folders() if (folder.job_folder(fit) / "fit.json").exists()
    )
    return own if own.exists() else next(finished, own)


def resolve_config_of_job(
    job: JobDescription, parents: Mapping[str, Path], stages: Mapping[str, str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The job's configuration with values of its parents for late references, and these values by dotted key.

    Raises RunBlocked where a parent says that there is no value, ConfigFailure or DataFailure where it is unknown.
    """
    if not has_late_reference(dict(job.config)):
        return job.config, {}

    def value(stage: str, key: str) -> Any:
        return read_value(only_parent(parents, stages, stage), key)

    return resolve_late_references(job.config, value)


def import_run(name: str) -> Callable[[Work], None]:
    """Import the callable that a study's ``run`` names. Raises ConfigFailure if that does not work."""
    module_name, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigFailure(f"run: cannot import {name}: {error}") from error
    if not callable(found):
        raise ConfigFailure(f"run: {name} is not callable")
    return found  # type: ignore[no-any-return]


def _redirect_output(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    start_logging()


def start_logging() -> None:
    """Have on standard output what a run logs, from INFO on, each line with its time."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout, force=True
    )


def _discard_old_staging(attempt: _Attempt) -> None:
    for old_staging in attempt.study.job_folder(attempt.job.id).glob("staging.*"):
        shutil.rmtree(old_staging, ignore_errors=True)
    attempt.staging_folder.mkdir(parents=True)


def _make_provenance(request: AttemptRequest) -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "submission": request.submission,
        "gpu": request.environment.get("CUDA_VISIBLE_DEVICES") or None,
        "python": sys.version.split()[0],
    }


def _run_and_publish(attempt: _Attempt, stop: _StopFlag) -> None:
    started, job = time.time(), attempt.job
    _discard_old_staging(attempt)
    reads = ReadRecorder(job.config)
    config, resolved = resolve_config_of_job(job, attempt.parent_folders(), attempt.request.stages)
    work = Work(
        description=replace(job, config=config),
        attempt=attempt.request.attempt,
        folder=find_fit_folder(attempt.root, attempt.study, job.fit),
        staging=attempt.staging_folder,
        parents=attempt.parent_folders(),
        stages=attempt.request.stages,
        stop_requested=stop,
        reads=reads,
    )
    work.folder.mkdir(parents=True, exist_ok=True)
    run = import_run(job.run)
    digest_loaded_files()
    run(work)
    refuse_nan_metrics(work.staging, attempt.request.nan)
    record = job.to_dict() | {
        "attempt": attempt.request.attempt,
        "parents": {parent: number for parent, (_, number) in attempt.request.parents.items()},
        "resolved": resolved,
        "reads": reads.reads,
        "code": record_code(attempt.study),
        "provenance": _make_provenance(attempt.request),
        "started": started,
        "ended": time.time(),
    }
    published = _publish_result(attempt, record)
    if not attempt.request.fit_needed:
        _call_after_publish(replace(work, staging=published))


class _AttemptOvertakenError(Exception):
    """Another attempt began meanwhile, because this one was believed dead: its result is the one that counts."""


def _publish_result(attempt: _Attempt, record: dict[str, Any]) -> Path:
    number = attempt.request.attempt
    if latest_attempt_number(attempt.study, attempt.job.id, number) > number:
        shutil.rmtree(attempt.staging_folder)
        raise _AttemptOvertakenError(
            f"attempt {number} was believed dead and a later one has begun; its result is discarded"
        )
    copy_outputs(attempt.staging_folder / OUTPUTS, output_folder(attempt.study, attempt.job))
    final = attempt.study.result_folder(attempt.job.id, number)
    final.parent.mkdir(parents=True, exist_ok=True)
    publish(attempt.staging_folder, final, record)
    return final


def _call_after_publish(work: Work) -> None:
    """Let the run's module clean up what it kept only until the result was safe."""
    module = sys.modules[work.description.run.rpartition(".")[0]]
    clean = getattr(module, "after_publish", None)
    if clean is None:
        return
    try:
        clean(work)
    except Exception:
        # The result is safe; what is left over is gc's to find.
        traceback.print_exc()


def run_attempt(request: AttemptRequest, report_pipe: int) -> int:
    """Run one attempt in the calling process, reporting on the pipe ``report_pipe``. Returns the exit code."""
    os.environ.update(request.environment)
    stop = _StopFlag()
    attempt = _Attempt.from_request(request)
    job, attempt_number = attempt.job.id, request.attempt
    try:
        refusal = claim_attempt(attempt.root, attempt.study, job, attempt_number, request.submission, request.task)
        if refusal:
            send_message(report_pipe, "declined", job=job, reason=refusal)
            return 0
        _redirect_output(attempt.study.log_file(job, attempt_number))
        send_message(report_pipe, "started", job=job, n=attempt_number, process=ProcessIdentity.current().to_dict())
        _run_and_publish(attempt, stop)
    except RunInterrupted as interruption:
        send_message(report_pipe, "interrupted", job=job, n=attempt_number, reason=str(interruption) or "asked to stop")
        return 0
    except RunBlocked as verdict:
        send_message(report_pipe, "blocked", job=job, n=attempt_number, reason=str(verdict))
        return 0
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return _report_failure(error, job, attempt_number, report_pipe)
    send_message(report_pipe, "done", job=job, n=attempt_number)
    return 0


def _report_failure(error: BaseException, job_id: str, attempt: int, report_pipe: int) -> int:
    failure = failure_from_exception(error)
    if isinstance(error, UsageError | ConfigFailure):
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    traceback.print_exception(error)
    sys.stderr.flush()
    send_message(report_pipe, "failed", job=job_id, n=attempt, **failure.to_dict())
    return 1


def main() -> int:
    """Run the request on standard input in this fresh process; the pipe's number is the only argument."""
    return run_attempt(AttemptRequest.from_line(sys.stdin.readline()), int(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
