"""Messages between worker, template and jobs: JSON lines over pipes.

The worker sends requests to the template. The template and its jobs share one pipe back to the worker. A message is one
write of at most PIPE_BUF bytes, so that lines of several processes never mix. Longer data is passed in files.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seedfold.jobs.secret_values import without_secrets
from seedfold.orchestrator.settings.failures import NanPolicy

Message = dict[str, Any]
"""``{"m": kind, "job": id, …}``. From the template: ready, spawned, exit; from a job: started, done, failed,
interrupted, paused, blocked, declined; from a process of several jobs also group, which tells how it trains them, and
left, the end of one of them."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class AttemptRequest:
    """A request to start one attempt.

    ``job`` is the description's JSON form; ``parents`` maps ids to (study, attempt), ``stages`` ids to stages;
    ``fit_needed`` means that another job will predict from the same fit; ``task`` is (index, restart) within the
    submission; ``nan`` says what becomes of a metric that is not a number; ``launch_folder`` is where the
    study was launched. Results of attempts up to ``done_before`` are known, and are to be replaced. With ``is_rerun``
    the job is run even if another study has done it. ``pause_after`` is the number of epochs after which the job is
    paused.
    """

    root: str
    study: str
    submission: str
    attempt: int
    job: dict[str, Any]
    parents: dict[str, tuple[str, int]]
    environment: dict[str, str]
    stages: dict[str, str] = field(default_factory=dict)
    fit_needed: bool = False
    task: tuple[int, int] = (0, 0)
    nan: NanPolicy = "auto"
    launch_folder: str = "."
    done_before: int = 0
    is_rerun: bool = False
    pause_after: int | None = None

    @property
    def job_id(self) -> str:
        """The job's id."""
        return str(self.job["id"])

    def to_line(self) -> bytes:
        """Return the request as one line of JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes | str) -> AttemptRequest:
        """Read one line of JSON."""
        record = json.loads(line)
        record["parents"] = {job: (study, attempt) for job, (study, attempt) in record["parents"].items()}
        index, restart = record["task"]
        return cls(**{**record, "task": (index, restart)})


@dataclass(frozen=True, slots=True)
class GroupRequest:
    """A request to start attempts in one process. If ``measured``, their jobs are trained together if that is faster.

    The process of a single attempt runs it alone.
    """

    attempts: tuple[AttemptRequest, ...]
    measured: bool = False

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The ids of the jobs."""
        return tuple(request.job_id for request in self.attempts)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables of the process."""
        return self.attempts[0].environment

    def to_line(self) -> bytes:
        """Return the request as one line of JSON."""
        lines = [json.loads(request.to_line()) for request in self.attempts]
        return json.dumps({"attempts": lines, "measured": self.measured}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes | str) -> GroupRequest:
        """Read one line of JSON."""
        record = json.loads(line)
        attempts = tuple(AttemptRequest.from_line(json.dumps(one)) for one in record["attempts"])
        return cls(attempts, record["measured"])


def send_message(pipe: int, message_kind: str, /, **details: Any) -> None:
    """Write one message. A long ``reason`` is cut so that the message fits into one write."""
    if "reason" in details:
        reason = without_secrets(str(details["reason"]), os.environ)
        # A character takes up to 12 bytes where it is not ASCII.
        details["reason"] = reason[: 600 if reason.isascii() else 200]
    line = json.dumps({"m": message_kind, **details}, separators=(",", ":")).encode() + b"\n"
    if len(line) > select.PIPE_BUF:
        raise ValueError(f"message of {len(line)} bytes")
    os.write(pipe, line)


class LineBuffer:
    """Cuts a stream of bytes into whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def add_bytes(self, data: bytes) -> list[bytes]:
        """Add bytes; return the lines that became complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


def job_environment(inherited: Mapping[str, str], own: Mapping[str, str], of_scheduler: bool = False) -> dict[str, str]:
    """The environment variables of a job: those of the worker, without the scheduler's, and the job's own.

    A training library that sees a scheduler's variables would requeue the task or distribute the training by itself.
    The programs of others may read them (``of_scheduler``). Then SLURM's name of the job is one with which Lightning
    lets SLURM alone, in the job and in the processes that it starts.
    """
    left_out = ("SUBMITIT_",) if of_scheduler else ("SLURM", "LSB_", "SUBMITIT_")
    kept = {key: value for key, value in inherited.items() if not key.startswith(left_out)}
    if "SLURM_JOB_NAME" in kept:
        kept["SLURM_JOB_NAME"] = "bash"
    return {**kept, **own}


def single_thread_variables() -> dict[str, str]:
    """Environment variables with which numerical libraries and Arrow's allocator start no threads of their own."""
    return {**dict.fromkeys(_THREAD_VARIABLES, "1"), "JE_ARROW_MALLOC_CONF": "background_thread:false"}
