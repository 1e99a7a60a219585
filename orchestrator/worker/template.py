"""A process that has imported what jobs need, and forks each job from itself.

It stays free of threads and of CUDA, asks no question of the device and computes nothing: only then is a forked child
as good as a fresh process. Where that cannot be kept it starts fresh processes instead, and says why.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from seedfold.orchestrator.code.digests import note_loaded
from seedfold.orchestrator.worker.job_process import run_attempt
from seedfold.orchestrator.worker.messages import LineBuffer, Request, job_environment, send, single_threaded
from seedfold.orchestrator.worker.parent_death import die_with_parent, signal_group


def _preload(runs: Sequence[str]) -> None:
    """Import what the runs declare. What fails here fails again, with its reason, in the job that needs it."""
    for run in runs:
        try:
            module = importlib.import_module(run.rpartition(".")[0])
            for name in getattr(module, "PRELOAD", ()):
                importlib.import_module(name)
        except Exception:
            traceback.print_exc()


def unsafe_to_fork() -> str | None:
    """Why a child forked from this process would not be as good as a fresh one; None if it would be."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        return f"{threads - 1} foreign threads after the imports"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "the imports initialised CUDA"
    return None


class Template:
    """Starts jobs on request and tells of their ends."""

    def __init__(self, report: int, warm: str, runs: Sequence[str]) -> None:
        self._report = report
        self._jobs: dict[int, str] = {}
        self._cold: dict[int, subprocess.Popen[bytes]] = {}
        self._why_cold = self._warm_up(warm, runs)
        send(report, "ready", reason=self._why_cold or "")

    def _warm_up(self, warm: str, runs: Sequence[str]) -> str | None:
        if warm == "off":
            return "switched off"
        _preload(runs)
        note_loaded()
        reason = unsafe_to_fork()
        gc.freeze()
        return reason

    def start(self, request: Request) -> None:
        """Start one attempt in a process group of its own."""
        pid = self._spawn(request) if self._why_cold else self._fork(request)
        self._jobs[pid] = request.id
        send(self._report, "spawned", job=request.id, pid=pid)

    def _fork(self, request: Request) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _become_job(parent)
                code = run_attempt(request, self._report)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        return pid

    def _spawn(self, request: Request) -> int:
        parent = os.getpid()
        process = subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "seedfold.orchestrator.worker.job_process", str(self._report)],
            stdin=subprocess.PIPE,
            pass_fds=[self._report],
            env={**os.environ, **request.environment},
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),
        )
        assert process.stdin is not None
        process.stdin.write(request.to_line())
        process.stdin.close()
        self._cold[process.pid] = process
        return process.pid

    def reap(self) -> None:
        """Tell of every child that has ended, and end what it started and left behind: its place is taken next."""
        while self._jobs:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            # The number of a group is not given away before its leader is waited for.
            signal_group(ended.si_pid, signal.SIGKILL)
            pid, status, usage = os.wait4(ended.si_pid, 0)
            self._cold.pop(pid, None)
            code = os.waitstatus_to_exitcode(status)
            send(self._report, "exit", job=self._jobs.pop(pid), pid=pid, code=code, peak=usage.ru_maxrss * 1024)


def _become_job(parent: int) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent(parent)
    os.setsid()
    silent = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silent, 0)
    gc.unfreeze()


def _wakeup_at_child_end() -> int:
    """Return a handle that becomes readable when a child ends."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return readable


def serve(template: Template) -> None:
    """Take requests from standard input until it closes; then leave, and the kernel ends what still runs."""
    ended, lines = _wakeup_at_child_end(), LineBuffer()
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        template.reap()
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if ended in ready:
                os.read(ended, 4096)
                template.reap()
            if 0 in ready:
                data = os.read(0, 1 << 16)
                if not data:
                    return
                for line in lines.feed(data):
                    template.start(Request.from_line(line))


def main() -> None:
    """Serve. Arguments: the report pipe's number, the parent's process id, and JSON with ``warm`` and ``runs``."""
    report, parent, options = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    die_with_parent(parent)
    # A scheduler's warning is the worker's to hear: of all processes of a task, one answers it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    environment = job_environment(os.environ, single_threaded())
    os.environ.clear()
    os.environ.update(environment)
    serve(Template(report, options["warm"], options["runs"]))


if __name__ == "__main__":
    main()
