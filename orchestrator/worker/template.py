"""The template process: it has imported what jobs need, and forks each job from itself.

It starts no threads, does not use CUDA, does not query devices and computes nothing, because only then is a forked
child as good as a fresh process. If the imports prevent that, it starts a fresh process for each job instead, and
reports why.

The main module of somebody's own program is run as well, up to the place where it asks Hydra for its sweep. There the
template waits for requests, and each job goes on from there.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import selectors
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.secret_values import traceback_text
from seedfold.jobs.task_function import is_same_start, program_start
from seedfold.orchestrator.code.loaded_files import digest_loaded_files
from seedfold.orchestrator.worker.job_group import run_group
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.messages import (
    GroupRequest,
    LineBuffer,
    job_environment,
    send_message,
    single_thread_variables,
)
from seedfold.orchestrator.worker.parent_death import die_with_parent, signal_job

if TYPE_CHECKING:
    import subprocess

TEMPLATE_NAME, JOB_NAME = "sf-template", "sf-job"
"""What `top` and `ps` call these processes, whose command lines may be that of the worker."""
SIGNALS_OF_WORKER = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""A scheduler sends its warnings to all processes of a task. The worker alone handles them."""


def _import_preloads(runs: Sequence[str]) -> None:
    """Import what the runs declare.

    An import that fails here fails again, with its reason, in the job that needs it.
    """
    for run in runs:
        try:
            module = importlib.import_module(run.rpartition(".")[0])
            for name in getattr(module, "PRELOAD", ()):
                importlib.import_module(name)
        except Exception as error:
            say(traceback_text(error, os.environ), is_error=True)


def _enter_program(runs: Sequence[str], program: Mapping[str, Any], serve: Callable[[], None]) -> str | None:
    """Run a program up to its sweep and call ``serve`` there. Return why it did not come so far, None if it did."""
    for run in runs:
        enter = getattr(sys.modules.get(run.rpartition(".")[0]), "enter", None)
        if enter is not None:
            try:
                reason: str | None = enter(program, serve)
            except Exception as error:
                say(traceback_text(error, os.environ), is_error=True)
                reason = "the program failed before its sweep"
            return reason
    return "the job's own module could not be imported"


def find_fork_hazard() -> str | None:
    """Why a child forked from this process would not be as good as a fresh process; None if it is."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        return f"{threads - 1} threads were started by the imports"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "the imports initialised CUDA"
    return None


class TemplateProcess:
    """Starts jobs on request and reports their ends.

    ``program`` is the program that this process has entered. Jobs are forked unless there is a reason not to.
    """

    def __init__(self, report_pipe: int, no_fork_reason: str | None, program: Mapping[str, Any] | None = None) -> None:
        self._report_pipe, self._program = report_pipe, program
        self._jobs_of_pid: dict[int, tuple[str, ...]] = {}
        self._fresh_processes: dict[int, subprocess.Popen[bytes]] = {}
        self._no_fork_reason = no_fork_reason or self._prepare_forks()
        send_message(report_pipe, "ready", reason=self._no_fork_reason or "")

    @staticmethod
    def _prepare_forks() -> str | None:
        digest_loaded_files()
        reason = find_fork_hazard()
        gc.freeze()
        gc.enable()
        return reason

    def start(self, request: GroupRequest) -> None:
        """Start one attempt, or several that train together, in a process group of its own."""
        is_forked = self._no_fork_reason is None and self._has_entered_program_of(request)
        pid = self._fork_job(request) if is_forked else self._spawn_job(request)
        self._jobs_of_pid[pid] = request.job_ids
        for job in request.job_ids:
            send_message(self._report_pipe, "spawned", job=job, pid=pid)

    def _has_entered_program_of(self, request: GroupRequest) -> bool:
        """Whether this process is where the job starts: two programs in one process would disturb each other."""
        start = program_start(request.attempts[0].job["config"])
        return self._program is None if start is None else is_same_start(start, self._program)

    def _fork_job(self, request: GroupRequest) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _set_up_job_process(parent)
                code = run_group(request, self._report_pipe)
                # As at the end of Python: loggers write what they have kept back.
                atexit._run_exitfuncs()
            finally:
                # On a full disk what was printed last is lost, not what became of the job.
                with suppress(OSError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        return pid

    def _spawn_job(self, request: GroupRequest) -> int:
        import subprocess

        parent = os.getpid()
        process = subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "seedfold.orchestrator.worker.job_group", str(self._report_pipe)],
            stdin=subprocess.PIPE,
            pass_fds=[self._report_pipe],
            env={**os.environ, **request.environment},
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),
        )
        assert process.stdin is not None
        process.stdin.write(request.to_line())
        process.stdin.close()
        self._fresh_processes[process.pid] = process
        return process.pid

    def reap_children(self) -> None:
        """Report every child that has ended, and kill processes that it left behind, because its slot is used next."""
        while self._jobs_of_pid:
            child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if child is None:
                return
            # The number of a process group is not used again before its leader has been waited for.
            signal_job(child.si_pid, signal.SIGKILL)
            pid, status, usage = os.wait4(child.si_pid, 0)
            self._fresh_processes.pop(pid, None)
            code = os.waitstatus_to_exitcode(status)
            for job in self._jobs_of_pid.pop(pid):
                send_message(self._report_pipe, "exit", job=job, pid=pid, code=code, peak=usage.ru_maxrss * 1024)


def _set_up_job_process(parent_pid: int) -> None:
    Path("/proc/self/comm").write_text(JOB_NAME)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent(parent_pid)
    os.setsid()
    # What is registered so far is for the end of the template.
    atexit._clear()
    gc.unfreeze()


def _make_child_end_pipe() -> int:
    """Return a handle that becomes readable when a child ends."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return readable


class RequestPipe:
    """Lines of JSON from the worker: first one that says what jobs need, then a request in each."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self._buffer, self._lines = LineBuffer(), list[bytes]()

    def read_options(self) -> dict[str, Any] | None:
        """Wait for the first line; None if the worker has ended before it wrote one."""
        while not self._lines:
            if not self._receive():
                return None
        options: dict[str, Any] = json.loads(self._lines.pop(0))
        return options

    def read(self, *, wait: bool) -> list[GroupRequest] | None:
        """Return the requests that have come; None once the worker has ended."""
        if wait and not self._receive():
            return None
        lines, self._lines = self._lines, []
        return [GroupRequest.from_line(line) for line in lines]

    def _receive(self) -> bool:
        data = os.read(self.pipe, 1 << 16)
        self._lines += self._buffer.add_bytes(data)
        return bool(data)


def serve_requests(template: TemplateProcess, requests: RequestPipe) -> None:
    """Serve requests until their pipe closes; then end, and the kernel kills the jobs that still run."""
    child_end = _make_child_end_pipe()
    with selectors.DefaultSelector() as selector:
        selector.register(requests.pipe, selectors.EVENT_READ)
        selector.register(child_end, selectors.EVENT_READ)
        template.reap_children()
        arrived = requests.read(wait=False)
        while arrived is not None:
            for request in arrived:
                template.start(request)
            ready = {key.fd for key, _ in selector.select()}
            if child_end in ready:
                os.read(child_end, 4096)
                template.reap_children()
            arrived = requests.read(wait=requests.pipe in ready)


def _take_requests() -> RequestPipe:
    """Return the requests, which are on standard input, and leave nothing to be read there."""
    requests, silent = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(silent, 0)
    os.close(silent)
    return RequestPipe(requests)


def _ignore_signals() -> None:
    for number in SIGNALS_OF_WORKER:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS_OF_WORKER)


def serve(report: int, parent: int) -> None:
    """Serve the worker, process ``parent``: requests are on standard input, ``report`` is the pipe of reports."""
    die_with_parent(parent)
    Path("/proc/self/comm").write_text(TEMPLATE_NAME)
    requests = _take_requests()
    _ignore_signals()
    options = requests.read_options()
    if options is None:
        return
    environment = job_environment(os.environ, single_thread_variables(), options["of_scheduler"])
    os.environ.clear()
    os.environ.update(environment)
    runs, program, reason = options["runs"], options["program"], None
    if options["warm"] == "off":
        reason = "switched off"
    else:
        # Imports leave no garbage worth a search: without one they take a tenth less time.
        gc.disable()
        _import_preloads(runs)

    def serve_program() -> None:
        # The program may have set signal handlers, which are for its jobs.
        _ignore_signals()
        serve_requests(TemplateProcess(report, None, program), requests)

    if reason is None and program is not None:
        reason = _enter_program(runs, program, serve_program)
        if reason is None:
            return
    serve_requests(TemplateProcess(report, reason), requests)


if __name__ == "__main__":
    pipe, worker = map(int, sys.argv[1:])
    # A program may read its arguments while it is imported; ours are none of them.
    del sys.argv[1:]
    serve(pipe, worker)
