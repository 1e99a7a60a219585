"""Several attempts in one process: their jobs are trained together, and then each of them runs as it would alone.

Each attempt has its own claim, log and result, and reports its own end. What cannot be trained together is trained when
its attempt runs. If the process dies, the fits go on from their own checkpoints.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from seedfold.jobs.fusing import FusedFits
from seedfold.jobs.secret_values import traceback_text
from seedfold.jobs.work import RunInterrupted, Work
from seedfold.orchestrator.code.code_records import record_code
from seedfold.orchestrator.code.data_reads import ReadRecorder
from seedfold.orchestrator.code.loaded_files import digest_loaded_files, watch_opened_files
from seedfold.orchestrator.ledger.fits import has_fit
from seedfold.orchestrator.worker.fit_folders import note_training
from seedfold.orchestrator.worker.job_attempt import JobAttempt, StopFlag
from seedfold.orchestrator.worker.job_log import redirect_output
from seedfold.orchestrator.worker.job_process import (
    begin_attempt,
    finish_attempt,
    import_run,
    interrupt_attempt,
    make_work,
    run_attempt,
)
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.messages import GroupRequest, send_message
from seedfold.orchestrator.worker.used_resources import measure_own_use


def run_group(request: GroupRequest, report_pipe: int) -> int:
    """Run the attempts in the calling process, and report on the pipe. Returns the exit code of a single attempt."""
    if len(request.attempts) == 1:
        return run_attempt(request.attempts[0], report_pipe)
    os.environ.update(request.environment)
    stop, begun = StopFlag(), []
    for attempt in map(JobAttempt.from_request, request.attempts):
        code = begin_attempt(attempt, report_pipe)
        if code is None:
            begun.append(attempt)
        else:
            _report_end(attempt, code, report_pipe)
    if begun:
        with ExitStack() as shared:
            _run_begun(begun, _fit_together(begun, request.measured, stop, shared), stop, report_pipe)
    return 0


def _run_begun(attempts: Sequence[JobAttempt], fits: FusedFits, stop: StopFlag, report_pipe: int) -> None:
    """Run attempts one after the other, after their fits."""
    send_message(report_pipe, "group", job=attempts[0].job.id, reason=fits.note, again=fits.again)
    for attempt in attempts:
        redirect_output(attempt.log_file)
        say(fits.note)
        if stop():
            code = interrupt_attempt(attempt, report_pipe, "asked to stop")
        else:
            stop.recording = None
            code = finish_attempt(attempt, stop, report_pipe, fits.note)
        _report_end(attempt, code, report_pipe)


def _report_end(attempt: JobAttempt, code: int, report_pipe: int) -> None:
    """Report the end of one attempt, whose process goes on with the others."""
    peak = measure_own_use()["memory_bytes"]
    send_message(report_pipe, "left", job=attempt.job.id, n=attempt.request.attempt, code=code, peak=peak)


def _fit_together(attempts: Sequence[JobAttempt], measured: bool, stop: StopFlag, shared: ExitStack) -> FusedFits:
    """Train the jobs together as far as that is possible; return what was done.

    As long as ``shared`` is open, they share what they have read.
    """
    works: list[tuple[JobAttempt, Work]] = []
    recordings = []
    watch_opened_files()
    try:
        fit = getattr(_module_of(attempts[0]), "fit_together", None)
        if fit is None:
            return FusedFits(f"each job trains alone: {attempts[0].job.run} cannot train several", again=False)
        for attempt in attempts:
            # A job whose parents or settings are wrong says so when it runs.
            try:
                work, _, recording = make_work(attempt, stop, ReadRecorder(attempt.job.config))
                recording.write()
            except Exception as error:
                say(traceback_text(error, os.environ), is_error=True)
                continue
            recordings.append(recording)
            if not has_fit(work.folder):
                works.append((attempt, work))
        if len(works) < 2:
            return FusedFits("each job trains alone: no other of its group has to be trained")
        found: FusedFits = shared.enter_context(fit([work for _, work in works], measured=measured))
        return found
    except RunInterrupted as interruption:
        return FusedFits(str(interruption))
    except Exception as error:
        say(traceback_text(error, os.environ), is_error=True)
        why = f"{type(error).__name__} while they were trained together; the log of the group's last job says more"
        return FusedFits(f"each job trains alone: {why}", again=False)
    finally:
        for recording in recordings:
            recording.end()
        for attempt, work in works:
            if has_fit(work.folder):
                note_training(work.folder, record_code(attempt.study, attempt.job.run, None, {}))


def _module_of(attempt: JobAttempt) -> Any:
    """The module of the function that the jobs run."""
    import_run(attempt.job.run)
    digest_loaded_files()
    return sys.modules[attempt.job.run.rpartition(".")[0]]


def main() -> int:
    """Run the request from standard input in this fresh process; the number of the pipe is the only argument."""
    return run_group(GroupRequest.from_line(sys.stdin.readline()), int(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
