"""The worker's end of the template: start jobs, hear from them, start another template if it died."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence

from seedfold.orchestrator.messages import LineBuffer, Message, Request
from seedfold.orchestrator.template import single_threaded

_TEMPLATE = "seedfold.orchestrator.template"


class Spawner:
    """A running template process and the pipe on which it and its jobs report."""

    def __init__(self, warm: str, runs: Sequence[str]) -> None:
        self._options = json.dumps({"warm": warm, "runs": list(runs)})
        self._start()

    def _start(self) -> None:
        self._lines = LineBuffer()
        self._pipe, report = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", _TEMPLATE, str(report), str(os.getpid()), self._options],
            stdin=subprocess.PIPE,
            pass_fds=[report],
            env={**os.environ, **single_threaded()},
            start_new_session=True,
        )
        os.close(report)

    def request(self, request: Request) -> None:
        """Ask for one attempt to be started. If the template is dead, `alive` will say so."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(request.to_line())
            self._process.stdin.flush()

    def messages(self, timeout_s: float) -> list[Message]:
        """Wait for messages, at most ``timeout_s`` seconds or until a signal, and return those that came."""
        ready, _, _ = select.select([self._pipe], [], [], timeout_s)
        if not ready:
            return []
        return [json.loads(line) for line in self._lines.feed(os.read(self._pipe, 1 << 16))]

    def alive(self) -> bool:
        """Whether the template lives."""
        return self._process.poll() is None

    def restart(self) -> None:
        """Start another template in place of one that died."""
        os.close(self._pipe)
        self._start()

    def close(self) -> None:
        """End the template, and with it whatever it still runs."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        os.close(self._pipe)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a job: SIGTERM to its process alone, SIGKILL to everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
