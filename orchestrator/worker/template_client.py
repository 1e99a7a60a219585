"""The worker's side of the template process: starts jobs, receives their messages, replaces a template that died."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.task_function import program_start
from seedfold.orchestrator.worker.messages import GroupRequest, LineBuffer, Message
from seedfold.orchestrator.worker.template_start import StartedTemplate, start_template


def callable_names(job: JobDescription) -> Iterator[str]:
    """Yield the dotted names of the functions that a job calls.

    Their modules are imported before the job is started, except the main module of a program, which is run.
    """
    yield job.run
    if is_program(job) and program_start(job.config) is None:
        yield job.config["hydra"]["task"]


def is_program(job: JobDescription) -> bool:
    """Whether a job runs somebody's own program."""
    return "hydra" in job.config


def find_program_start(jobs: Iterable[JobDescription]) -> dict[str, Any] | None:
    """Return what says how the program of these jobs is started; None if there is none whose main module is run."""
    return next(filter(None, (program_start(job.config) for job in jobs)), None)


class TemplateClient:
    """A running template process, and the pipe on which the template and its jobs report."""

    def __init__(
        self,
        warm: str,
        runs: Sequence[str],
        program: Mapping[str, Any] | None = None,
        of_scheduler: bool = False,
        started: StartedTemplate | None = None,
    ) -> None:
        """``program`` says how a program is started whose main module the template runs, up to its sweep.

        ``of_scheduler`` says whether jobs see the scheduler's variables. ``started`` is a template that waits to be
        told this.
        """
        options = {"warm": warm, "runs": list(runs), "program": program, "of_scheduler": of_scheduler}
        self._options = json.dumps(options).encode() + b"\n"
        self._use(started or start_template())

    def _use(self, template: StartedTemplate) -> None:
        self._template, self._line_buffer = template, LineBuffer()
        self._unsent_bytes = bytearray(self._options)
        os.set_blocking(template.requests, False)
        self._write_unsent()

    def start(self, request: GroupRequest) -> None:
        """Ask the template to start attempts in one process. If the template is dead, `is_alive` will return False.

        Never waits: if the template is busy, `receive_messages` sends it the rest of the request later.
        """
        self._unsent_bytes += request.to_line()
        self._write_unsent()

    def _write_unsent(self) -> None:
        """Write as much as the template reads now."""
        try:
            while self._unsent_bytes:
                del self._unsent_bytes[: os.write(self._template.requests, self._unsent_bytes)]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent_bytes.clear()

    def receive_messages(self, timeout_s: float) -> list[Message]:
        """Wait for messages for at most ``timeout_s`` seconds and return those that came.

        Send unsent requests meanwhile.
        """
        end = time.monotonic() + timeout_s
        ready: list[int] = []
        while not ready:
            left = max(0.0, end - time.monotonic())
            writers = [self._template.requests] if self._unsent_bytes else []
            ready, writable, _ = select.select([self._template.reports], writers, [], left)
            if writable:
                self._write_unsent()
            elif not ready:
                return []
        return [json.loads(line) for line in self._line_buffer.add_bytes(os.read(self._template.reports, 1 << 16))]

    def is_alive(self) -> bool:
        """Whether the template is alive."""
        return self._template.process.poll() is None

    def restart(self) -> None:
        """Start a new template in place of one that died."""
        self._template.close()
        self._use(start_template())

    def kill(self) -> None:
        """Kill the template even if it hangs; the kernel kills its jobs with it."""
        self._template.process.kill()

    def close(self) -> None:
        """End the template and the jobs that it still runs."""
        self._template.close()
