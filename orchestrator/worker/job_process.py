"""One attempt at one job, from claim to publication, in a process of its own.

The process may be killed at any moment, because the order of writes is: first the claim, then work in the staging
folder, then one rename that publishes everything. If the process of a claim is dead, the result store shows how far it
came.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from seedfold.jobs.command import COMMAND_RUN
from seedfold.jobs.description import JobDescription
from seedfold.jobs.fusing import FUSED_FILE
from seedfold.jobs.late_references import has_late_reference, resolve_late_references
from seedfold.jobs.secret_values import traceback_text
from seedfold.jobs.work import OUTPUTS, ConfigFailure, RunBlocked, RunInterrupted, RunPaused, Work, only_parent
from seedfold.orchestrator.code.code_records import record_code
from seedfold.orchestrator.code.data_reads import ReadRecorder
from seedfold.orchestrator.code.loaded_files import digest_loaded_files, watch_opened_files
from seedfold.orchestrator.ledger.claims import claim_attempt, has_later_claim, may_be_written
from seedfold.orchestrator.ledger.fits import find_fit_folder, has_fit
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.output_files import copy_outputs, count_by_stage, output_folder
from seedfold.orchestrator.ledger.plans import Plans
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.settings.failures import failure_from_exception
from seedfold.orchestrator.worker.called_run import call_run
from seedfold.orchestrator.worker.failure_text import failure_text
from seedfold.orchestrator.worker.fit_folders import clear_for_rerun, find_training_code, note_training
from seedfold.orchestrator.worker.job_attempt import JobAttempt, StopFlag
from seedfold.orchestrator.worker.job_log import redirect_output
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.messages import AttemptRequest, send_message
from seedfold.orchestrator.worker.nan_metrics import refuse_nan_metrics
from seedfold.orchestrator.worker.own_kill import report_own_kill
from seedfold.orchestrator.worker.used_resources import measure_own_use
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.recording.collect import remove_records
from seedfold.results.recording.progress import ProgressWriter
from seedfold.results.store.atomic_files import make_folder
from seedfold.results.store.passing_errors import try_again
from seedfold.results.store.published import load_result, publish
from seedfold.results.store.values import read_value


def resolve_config_of_job(
    job: JobDescription, parents: Mapping[str, Path], stages: Mapping[str, str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The job's configuration with late references replaced by values of its parents, and these values by key.

    Raises RunBlocked if a parent says that there is no value, and ConfigFailure or DataFailure if the value is unknown.
    """
    if not has_late_reference(dict(job.config)):
        return job.config, {}

    def value(stage: str, key: str) -> Any:
        return read_value(only_parent(parents, stages, stage), key)

    return resolve_late_references(job.config, value)


def import_run(name: str) -> Callable[[Work], None]:
    """Import the function that a study's ``run`` names. Raises ConfigFailure if the import fails."""
    module_name, _, attribute = name.rpartition(".")
    try:
        found = getattr(_import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigFailure(f"run: cannot import {name}: {error}") from error
    if not callable(found):
        raise ConfigFailure(f"run: {name} is not a function or class")
    return found  # type: ignore[no-any-return]


def _import_module(name: str) -> ModuleType:
    """Import a module. Python does not tell a module that is not there from a folder that could not be read once."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        importlib.invalidate_caches()
        return importlib.import_module(name)


def _discard_old_staging(attempt: JobAttempt) -> None:
    """Remove what ended attempts have left. One that is only silent would miss its folder when it comes back."""
    folder = attempt.study.job_folder(attempt.job.id)
    names = try_again(lambda: os.listdir(folder), folder)  # noqa: PTH208
    for staging in (folder / name for name in names if name.startswith("staging.")):
        if staging == attempt.staging_folder or not may_be_written(staging):
            shutil.rmtree(staging, ignore_errors=True)
    make_folder(attempt.staging_folder)


def _make_provenance(request: AttemptRequest, fit_folder: Path, note: str) -> dict[str, Any]:
    fused = fit_folder / FUSED_FILE
    together = json.loads(fused.read_text(encoding="utf-8")) if fused.exists() else {}
    together |= {"note": note} if note else {}
    return ({"fused": together} if together else {}) | {
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "submission": request.submission,
        "gpu": request.environment.get("CUDA_VISIBLE_DEVICES") or None,
        "python": sys.version.split()[0],
        "usage": measure_own_use(),
    }


def make_work(attempt: JobAttempt, stop: StopFlag, reads: ReadRecorder) -> tuple[Work, Mapping[str, Any], Attempt]:
    """Return what the run gets, the values that its parents gave it, and the files in which it records.

    Raises as `resolve_config_of_job`, and ConfigFailure if its parents come from several versions of the code.
    """
    config, resolved = resolve_config_of_job(attempt.job, attempt.parent_folders(), attempt.request.stages)
    _refuse_mixed_code(attempt)
    work = Work(
        description=replace(attempt.job, config=config),
        attempt=attempt.request.attempt,
        folder=_fit_folder(attempt),
        staging=attempt.staging_folder,
        parents=attempt.parent_folders(),
        stages=attempt.request.stages,
        launch_folder=Path(attempt.request.launch_folder),
        stop_requested=stop,
        reads=reads,
        pause_after=attempt.request.pause_after,
    )
    recording = Attempt(work.description, work.attempt, attempt.study.job_folder(attempt.job.id), work.pause_after)
    return replace(work, progress=ProgressWriter(recording)), resolved, recording


def _run_and_publish(attempt: JobAttempt, stop: StopFlag, note: str) -> None:
    started, job = attempt.started, attempt.job
    _discard_old_staging(attempt)
    reads = ReadRecorder(job.config)
    work, resolved, recording = make_work(attempt, stop, reads)
    training_code = find_training_code(work.folder, attempt.study) if has_fit(work.folder) else None
    work.folder.mkdir(parents=True, exist_ok=True)
    had_fit = has_fit(work.folder)
    watch_opened_files()
    run = import_run(job.run)
    digest_loaded_files()
    stop.recording = recording
    call_run(run, work, recording)
    refuse_nan_metrics(work.staging, attempt.request.nan)
    code = record_code(attempt.study, job.run, training_code, _command_code(work))
    if not had_fit and has_fit(work.folder):
        note_training(work.folder, code)
    record = job.to_dict() | {
        "attempt": attempt.request.attempt,
        "parents": {parent: number for parent, (_, number) in attempt.request.parents.items()},
        "resolved": resolved,
        "reads": reads.reads,
        "code": code,
        "provenance": _make_provenance(attempt.request, work.folder, note),
        "started": started,
        "ended": time.time(),
    }
    published = _publish_result(attempt, record)
    remove_records(recording)
    attempt.fit_claim.record_published()
    if not attempt.request.fit_needed and not attempt.fit_claim.is_shared():
        _call_after_publish(replace(work, staging=published))


def _command_code(work: Work) -> Mapping[str, Path]:
    """The files of the code that other processes have run; what this process has loaded is known otherwise."""
    if work.description.run != COMMAND_RUN:
        return {}
    from seedfold.orchestrator.code.command_files import command_code

    return dict(command_code(work.config, [Path(sys.path[0]), work.launch_folder]))


def _fit_folder(attempt: JobAttempt) -> Path:
    """Where the job's fit is; a job that has a result and is to be done again all the same begins anew."""
    if not _is_rerun(attempt):
        return find_fit_folder(attempt.root, attempt.study, attempt.job.fit)
    folder = attempt.study.job_folder(attempt.job.fit)
    clear_for_rerun(folder, attempt.intent_file)
    return folder


def _is_rerun(attempt: JobAttempt) -> bool:
    if attempt.request.attempt < 2 or not attempt.intent_file.exists():
        return False
    return attempt.job.id in json.loads(attempt.intent_file.read_text(encoding="utf-8"))["rerun"]


def _refuse_mixed_code(attempt: JobAttempt) -> None:
    """Raise ConfigFailure if parents of one stage come from several versions of the code: see decision 22."""
    if len(attempt.request.parents) < 2:
        return
    from seedfold.orchestrator.code.comparison import CodeComparison, CodeKey

    stages: dict[str, list[CodeKey]] = {}
    for parent, (study_name, number) in attempt.request.parents.items():
        study = attempt.root.study_folder(study_name)
        result = load_result(study.result_folder(parent, number))
        stages.setdefault(attempt.request.stages[parent], []).append(CodeKey(study, result.code, result.run))
    comparison = CodeComparison(attempt.study, None)
    for stage, keys in stages.items():
        files = comparison.conflicting_files(keys)
        if files:
            name = attempt.study.name
            raise ConfigFailure(
                f"results of stage {stage} come from several versions of the code ({', '.join(files[:3])}); "
                f"to have one version, use seedfold rerun {name} --stale or seedfold resume {name} --accept-code"
            )


class _AttemptOvertakenError(Exception):
    """A later attempt began meanwhile because this one was believed dead. The result of the later attempt counts."""


def _publish_result(attempt: JobAttempt, record: dict[str, Any]) -> Path:
    number = attempt.request.attempt
    if has_later_claim(attempt.study, attempt.job.id, number):
        shutil.rmtree(attempt.staging_folder, ignore_errors=True)
        raise _AttemptOvertakenError(
            f"attempt {number} was believed dead and a later one has begun; its result is discarded"
        )
    outputs = attempt.staging_folder / OUTPUTS
    if outputs.exists():
        counts = count_by_stage(Plans(attempt.study, keeps=False).current_jobs.values())
        copy_outputs(outputs, output_folder(attempt.study, attempt.job, counts[attempt.job.stage]))
    final = attempt.study.result_folder(attempt.job.id, number)
    make_folder(final.parent)
    publish(attempt.staging_folder, final, record)
    return final


def _call_after_publish(work: Work) -> None:
    """Call the function of the run's module that deletes what was needed only until the result was published."""
    module = sys.modules[work.description.run.rpartition(".")[0]]
    clean = getattr(module, "after_publish", None)
    if clean is None:
        return
    try:
        clean(work)
    except Exception as error:
        # The result is published. Garbage collection finds what is left.
        say(traceback_text(error, os.environ), is_error=True)


def run_attempt(request: AttemptRequest, report_pipe: int) -> int:
    """Run one attempt in the calling process, and report on the pipe ``report_pipe``. Returns the exit code."""
    os.environ.update(request.environment)
    attempt, stop = JobAttempt.from_request(request), StopFlag()
    code = begin_attempt(attempt, report_pipe)
    if code is not None:
        return code
    report_own_kill(
        lambda failure: send_message(report_pipe, "failed", job=attempt.job.id, n=request.attempt, **failure.to_dict()),
        attempt.log_file,
    )
    return finish_attempt(attempt, stop, report_pipe)


def begin_attempt(attempt: JobAttempt, report_pipe: int) -> int | None:
    """Claim the attempt, and report that it has begun; return None, or the exit code if it is not ours or failed."""
    job, number = attempt.job.id, attempt.request.attempt
    try:
        refusal = _claim(attempt)
        if refusal:
            send_message(report_pipe, "declined", job=job, reason=refusal)
            attempt.fit_claim.release()
            return 0
        redirect_output(attempt.log_file)
        send_message(report_pipe, "started", job=job, n=number, process=ProcessIdentity.current().to_dict())
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        attempt.fit_claim.release()
        return _report_failure(error, job, number, report_pipe)
    return None


def finish_attempt(attempt: JobAttempt, stop: StopFlag, report_pipe: int, note: str = "") -> int:
    """Run an attempt that is ours, and report how it ended. Returns the exit code.

    ``note`` says whether it was trained together with others, and is recorded.
    """
    job, attempt_number = attempt.job.id, attempt.request.attempt
    try:
        _run_and_publish(attempt, stop, note)
    except _AttemptOvertakenError as overtaken:
        send_message(report_pipe, "declined", job=job, reason=str(overtaken))
        say(str(overtaken), is_error=True)
        return 0
    except RunPaused as pause:
        send_message(report_pipe, "paused", job=job, n=attempt_number, epochs=pause.epochs)
        return 0
    except RunInterrupted as interruption:
        return interrupt_attempt(attempt, report_pipe, str(interruption) or "asked to stop")
    except RunBlocked as verdict:
        send_message(report_pipe, "blocked", job=job, n=attempt_number, reason=str(verdict))
        return 0
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return _report_failure(error, job, attempt_number, report_pipe)
    finally:
        attempt.fit_claim.release()
    send_message(report_pipe, "done", job=job, n=attempt_number)
    return 0


def interrupt_attempt(attempt: JobAttempt, report_pipe: int, reason: str) -> int:
    """Report that an attempt was stopped, and give up its fit. Returns the exit code."""
    attempt.fit_claim.release()
    send_message(report_pipe, "interrupted", job=attempt.job.id, n=attempt.request.attempt, reason=reason)
    return 0


def _claim(attempt: JobAttempt) -> str | None:
    """Claim the attempt, and then its fit; return why they are not ours, None if they are."""
    request, job = attempt.request, attempt.job.id
    place = request.submission, request.task, request.done_before
    is_done = None if request.is_rerun else partial(_is_done_in, attempt)
    refusal = claim_attempt(attempt.root, attempt.study, job, request.attempt, *place, is_done)
    return refusal or attempt.fit_claim.take(attempt.study.claim_file(job, request.attempt))


def _is_done_in(attempt: JobAttempt, study: StudyFolder) -> bool:
    """Whether another study has done the job; the worker may have asked before that."""
    from seedfold.orchestrator.state.job_states import is_done_in

    return is_done_in(attempt.root, study, attempt.job.id)


def _report_failure(error: BaseException, job_id: str, attempt: int, report_pipe: int) -> int:
    failure = failure_from_exception(error)
    send_message(report_pipe, "failed", job=job_id, n=attempt, **failure.to_dict())
    # Only now, because the log may be on a disk that is full.
    say(failure_text(error), is_error=True)
    return 1


def main() -> int:
    """Run the request from standard input in this fresh process; the number of the pipe is the only argument."""
    return run_attempt(AttemptRequest.from_line(sys.stdin.readline()), int(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
