"""Queries to SLURM, and how its replies are read."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers import commands
from seedfold.orchestrator.schedulers.answer_numbers import AMOUNT, WHOLE, is_whole
from seedfold.orchestrator.schedulers.backend import Phase, TaskState
from seedfold.orchestrator.settings.failures import FailureKind

_PENDING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_END_REASONS: Mapping[str, tuple[FailureKind | None, str]] = {
    "COMPLETED": (None, "its task ended"),
    "TIMEOUT": ("timeout", "its task reached the time limit"),
    "DEADLINE": ("timeout", "its task reached its deadline"),
    "PREEMPTED": ("preempted", "its task was preempted and not requeued"),
    "NODE_FAIL": ("node", "the node of its task failed"),
    "BOOT_FAIL": ("node", "the node of its task did not boot"),
    "OUT_OF_MEMORY": ("oom_host", "its task used more memory than it had asked for"),
    "REVOKED": ("error", "its task was revoked"),
}
_PENDING_REASONS = {
    "Priority": "other jobs have a higher priority",
    "Resources": "waits for free resources",
    "Dependency": "waits for jobs before it",
    "DependencyNeverSatisfied": "can never run: a job that it depends on failed",
    "JobArrayTaskLimit": "waits because of cluster.throttle or seedfold throttle",
    "BeginTime": "requeued, and starts again in a moment",
    "QOSMaxJobsPerUserLimit": "the QOS allows no more running jobs of yours",
    "QOSMaxSubmitJobPerUserLimit": "the QOS allows no more queued jobs of yours",
    "AssocMaxJobsLimit": "the account allows no more running jobs",
    "AssocGrpGRES": "the account has no more GPUs",
    "QOSMaxGRESPerUser": "the QOS allows you no more GPUs",
    "PartitionTimeLimit": "can never run: it asks for more time than the partition allows",
    "PartitionNodeLimit": "can never run: it asks for more nodes than the partition has",
    "PartitionDown": "the partition is down",
    "ReqNodeNotAvail": "the nodes that it needs are down or reserved",
    "JobHeldUser": "held by a person",
    "JobHeldAdmin": "held by an administrator",
    "launch failed requeued held": "held, because its node could not start it",
}
_SIGNAL = re.compile(f"({WHOLE}):({WHOLE})")
_SIGKILL = 9
_FROM_OUTSIDE = {1, 2, 15}
"""A hangup, an interrupt and a termination, which no program sends itself."""
_SQUEUE_FIELDS = "%F|%K|%T|%r|%j|%S|%N|%e"
# Accounting knows how a task failed, but only some seconds after the end.
_ACCOUNTING_DELAY_S = 60.0
_SACCT_FIELDS = "JobID,JobName,State,ExitCode,ReqMem,MaxRSS,NodeList"
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def clean_environment() -> dict[str, str]:
    """The environment without the variables of a surrounding job, which SLURM would take as options of the new job."""
    kept_variables = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {
        key: value
        for key, value in os.environ.items()
        if key in kept_variables or not key.startswith(("SLURM_", "SBATCH_"))
    }


def run(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run one of SLURM's commands. Raises UnreachableError if the command is missing or does not end in time."""
    return commands.run(command, timeout_s, clean_environment())


def output_of(command: Sequence[str], timeout_s: float) -> str:
    """Return what a command prints. Raises UnreachableError if it fails."""
    process = run(command, timeout_s)
    if process.returncode:
        raise UnreachableError(f"{command[0]} failed: {' '.join(process.stderr.split()) or process.returncode}")
    return process.stdout


def config_value(name: str, timeout_s: float) -> str | None:
    """One value of the cluster's configuration; None if there is no value of that name."""
    match = re.search(rf"^{name}\s*=\s*(.*)$", output_of(["scontrol", "show", "config"], timeout_s), re.MULTILINE)
    return match[1].strip() if match else None


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task as SLURM lists it, with the name of its array."""

    array_name: str
    index: int
    state: TaskState


def queued_tasks(array_names: Sequence[str], timeout_s: float, user: str | None = None) -> Iterator[TaskRow]:
    """The tasks with these names that are in the queue, or were in it a few minutes ago.

    `squeue` chooses by the name itself: without a ``user`` the controller sends it the jobs of all users.
    """
    who = [] if user is None else [f"--user={user}"]
    output = output_of(
        ["squeue", "-h", "-r", "-t", "all", *who, f"--name={','.join(array_names)}", "-o", _SQUEUE_FIELDS], timeout_s
    )
    for line in output.splitlines():
        fields = line.split("|")
        if len(fields) != _SQUEUE_FIELDS.count("|") + 1 or not is_whole(fields[1]):
            raise UnreachableError(f"squeue printed {line!r}, which Seedfold cannot read")
        array, index, scheduler_state, reason, name, starts, node, end = fields
        state = _task_state(array, scheduler_state, reason, "" if starts == "N/A" else starts)
        if scheduler_state == "FAILED" and _is_recent(end):
            state = replace(state, phase="ending")
        yield TaskRow(name, int(index), replace(state, node=node))


def _is_recent(end: str) -> bool:
    """Whether a time, as SLURM writes it, is so recent, or still unknown, that accounting may not have the task yet."""
    try:
        return datetime.now().timestamp() - datetime.fromisoformat(end).timestamp() < _ACCOUNTING_DELAY_S
    except ValueError:
        return True


def _task_state(array: str, scheduler_state: str, reason: str, expected_start: str) -> TaskState:
    phase = _phase(scheduler_state)
    if phase == "ended":
        return ended_task_state(array, scheduler_state)
    return TaskState(
        array,
        phase,
        scheduler_state,
        _PENDING_REASONS.get(reason, reason) if phase == "pending" else "",
        expected_start=expected_start,
    )


def _phase(scheduler_state: str) -> Phase:
    """The phase for a state of SLURM. An unknown state does not count as ended."""
    if scheduler_state in _PENDING:
        return "pending"
    return "ended" if scheduler_state in _END_REASONS or scheduler_state in {"CANCELLED", "FAILED"} else "running"


def ended_task_state(
    array: str, scheduler_state: str, exit_code: str = "", memory: tuple[int, int] = (0, 0)
) -> TaskState:
    """Return how a task ended, from SLURM's state, exit code ``CODE:SIGNAL``, and (requested, used) bytes of memory."""
    state = scheduler_state.split()[0].rstrip("+")
    if state == "CANCELLED":
        canceller = scheduler_state.removeprefix("CANCELLED").strip()
        return TaskState(array, "ended", state, f"cancelled in SLURM {canceller}".strip(), "cancelled")
    if state in _END_REASONS:
        kind, reason = _END_REASONS[state]
        return TaskState(array, "ended", state, reason, kind)
    match = _SIGNAL.match(exit_code)
    code, number = (int(match[1]), int(match[2])) if match else (0, 0)
    requested, used = memory
    if _SIGKILL in {code, number} and requested and used >= 0.95 * requested:
        kind, reason = _END_REASONS["OUT_OF_MEMORY"]
        return TaskState(array, "ended", state, f"{reason}: {used / 1024**3:.1f} GB", kind)
    if _SIGKILL in {code, number}:
        reason = f"the worker of its task was killed by signal {_SIGKILL}"
        return TaskState(array, "ended", state, reason, "node", was_killed=True)
    if number in _FROM_OUTSIDE:
        return TaskState(array, "ended", state, "its task was killed from outside", "preempted")
    end_text = f"was killed by signal {number}" if number else f"exited with code {code}"
    return TaskState(
        array, "ended", state, f"the worker of its task {end_text}" if match else "its task failed", "error"
    )


def accounted_tasks(array_ids: Sequence[str], timeout_s: float) -> list[TaskRow] | None:
    """The tasks of these arrays that have ended, from accounting; None if the cluster has no accounting.

    Accounting is asked twice before it counts as missing, because what it does not say is lost. If it does not reply in
    time, it is asked once.
    """
    command, end = ["sacct", "-n", "-P", "-j", ",".join(array_ids), "-o", _SACCT_FIELDS], time.monotonic() + timeout_s
    for _ in range(2):
        with suppress(UnreachableError):
            return list(_ended_rows(output_of(command, timeout_s)))
        if time.monotonic() >= end:
            break
    return None


def _ended_rows(output: str) -> Iterator[TaskRow]:
    rows = [line.split("|") for line in output.splitlines() if line.count("|") == _SACCT_FIELDS.count(",")]
    memory_used = _memory_used(rows)
    for job, name, scheduler_state, exit_code, requested, _, node in rows:
        array, _, index = job.partition("_")
        if is_whole(index) and scheduler_state.strip() and _phase(scheduler_state.split()[0].rstrip("+")) == "ended":
            memory = (_parse_bytes(requested), memory_used.get(job, 0))
            yield TaskRow(
                name, int(index), replace(ended_task_state(array, scheduler_state, exit_code, memory), node=node)
            )


def _memory_used(rows: Iterable[Sequence[str]]) -> dict[str, int]:
    """The largest memory of any step, by task."""
    max_memory: dict[str, int] = {}
    for job, _, _, _, _, used, _ in rows:
        task = job.partition(".")[0]
        max_memory[task] = max(max_memory.get(task, 0), _parse_bytes(used))
    return max_memory


def _parse_bytes(text: str) -> int:
    match = re.match(f"({AMOUNT})([KMGT]?)", text)
    return round(float(match[1]) * _UNITS.get(match[2], 1)) if match else 0
