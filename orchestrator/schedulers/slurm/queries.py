"""Questions to SLURM and the sense of its answers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers import commands
from seedfold.orchestrator.schedulers.backend import Phase, TaskState
from seedfold.orchestrator.settings.failures import FailureKind

_PENDING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_END_REASONS: Mapping[str, tuple[FailureKind | None, str]] = {
    "COMPLETED": (None, "its task ended"),
    "TIMEOUT": ("timeout", "its task reached the time limit"),
    "DEADLINE": ("timeout", "its task reached its deadline"),
    "PREEMPTED": ("preempted", "its task was preempted and not queued again"),
    "NODE_FAIL": ("node", "the node of its task failed"),
    "BOOT_FAIL": ("node", "the node of its task did not boot"),
    "OUT_OF_MEMORY": ("oom_host", "its task used more memory than it had asked for"),
    "REVOKED": ("error", "its task was revoked"),
}
_PENDING_REASONS = {
    "Priority": "others come first",
    "Resources": "waits for free resources",
    "Dependency": "waits for jobs before it",
    "DependencyNeverSatisfied": "can never run: what it depends on did not end as it should",
    "JobArrayTaskLimit": "throttled by cluster.throttle",
    "BeginTime": "queued again, and held back for a moment",
    "QOSMaxJobsPerUserLimit": "the QOS lets no more of your jobs run",
    "QOSMaxSubmitJobPerUserLimit": "the QOS lets no more of your jobs wait",
    "AssocMaxJobsLimit": "the account lets no more jobs run",
    "AssocGrpGRES": "the account has no more GPUs",
    "QOSMaxGRESPerUser": "the QOS gives you no more GPUs",
    "PartitionTimeLimit": "can never run: asks for more time than the partition has",
    "PartitionNodeLimit": "can never run: asks for more nodes than the partition has",
    "PartitionDown": "the partition is down",
    "ReqNodeNotAvail": "the nodes that it needs are down or reserved",
    "JobHeldUser": "held by a person",
    "JobHeldAdmin": "held by an administrator",
    "launch failed requeued held": "held, since its node could not start it",
}
_SIGNAL = re.compile(r"(\d+):(\d+)")
_SIGKILL = 9
_SQUEUE_FIELDS = "%F|%K|%T|%r|%j|%S|%N|%e"
# Accounting says how a task failed; it learns of it a few seconds later.
_ACCOUNTING_DELAY_S = 60.0
_SACCT_FIELDS = "JobID,JobName,State,ExitCode,ReqMem,MaxRSS,NodeList"
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def clean_environment() -> dict[str, str]:
    """This environment without what a surrounding job left in it, which would become the request of the next."""
    kept_variables = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {
        key: value
        for key, value in os.environ.items()
        if key in kept_variables or not key.startswith(("SLURM_", "SBATCH_"))
    }


def run(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run one of SLURM's commands. Raises UnreachableError if it is not there or does not come back in time."""
    return commands.run(command, timeout_s, clean_environment())


def output_of(command: Sequence[str], timeout_s: float) -> str:
    """Return what a command prints. Raises UnreachableError if it fails."""
    process = run(command, timeout_s)
    if process.returncode:
        raise UnreachableError(f"{command[0]} failed: {' '.join(process.stderr.split()) or process.returncode}")
    return process.stdout


def config_value(name: str, timeout_s: float) -> str | None:
    """One line of the cluster's configuration; None if it has none of that name."""
    match = re.search(rf"^{name}\s*=\s*(.*)$", output_of(["scontrol", "show", "config"], timeout_s), re.MULTILINE)
    return match[1].strip() if match else None


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task as SLURM shows it, by the name of its array."""

    array_name: str
    index: int
    state: TaskState


def queued_tasks(array_names: Sequence[str], timeout_s: float) -> Iterator[TaskRow]:
    """The tasks with these names that are in the queue, or were a few minutes ago."""
    output = output_of(
        ["squeue", "-h", "-r", "-t", "all", f"--name={','.join(array_names)}", "-o", _SQUEUE_FIELDS], timeout_s
    )
    for line in output.splitlines():
        fields = line.split("|")
        if len(fields) != _SQUEUE_FIELDS.count("|") + 1 or not fields[1].isdigit():
            raise UnreachableError(f"squeue said {line!r}, which makes no sense")
        array, index, scheduler_state, reason, name, starts, node, end = fields
        state = _task_state(array, scheduler_state, reason, "" if starts == "N/A" else starts)
        if scheduler_state == "FAILED" and _is_recent(end):
            state = replace(state, phase="ending")
        yield TaskRow(name, int(index), replace(state, node=node))


def _is_recent(end: str) -> bool:
    """Whether a time, as SLURM writes it, is so near, or not known yet, that accounting may not have heard of it."""
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
    """A word that nobody has heard of is no end."""
    if scheduler_state in _PENDING:
        return "pending"
    return "ended" if scheduler_state in _END_REASONS or scheduler_state in {"CANCELLED", "FAILED"} else "running"


def ended_task_state(
    array: str, scheduler_state: str, exit_code: str = "", memory: tuple[int, int] = (0, 0)
) -> TaskState:
    """Say how a task ended: by SLURM's word, its exit code ``CODE:SIGNAL``, and (asked for, used) memory in bytes."""
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
    end_text = f"was killed by signal {number or code}" if number or code == _SIGKILL else f"exited with code {code}"
    return TaskState(
        array, "ended", state, f"the worker of its task {end_text}" if match else "its task failed", "error"
    )


def accounted_tasks(array_ids: Sequence[str], timeout_s: float) -> list[TaskRow] | None:
    """The tasks of these arrays that have ended, as accounting knows them; None where there is no accounting.

    It is asked twice before that is believed: what it does not say is never learnt.
    """
    for _ in range(2):
        with suppress(UnreachableError):
            return list(
                _ended_rows(output_of(["sacct", "-n", "-P", "-j", ",".join(array_ids), "-o", _SACCT_FIELDS], timeout_s))
            )
    return None


def _ended_rows(output: str) -> Iterator[TaskRow]:
    rows = [line.split("|") for line in output.splitlines() if line.count("|") == _SACCT_FIELDS.count(",")]
    memory_used = _memory_used(rows)
    for job, name, scheduler_state, exit_code, requested, _, node in rows:
        array, _, index = job.partition("_")
        if index.isdigit() and scheduler_state and _phase(scheduler_state.split()[0].rstrip("+")) == "ended":
            memory = (_parse_bytes(requested), memory_used.get(job, 0))
            yield TaskRow(
                name, int(index), replace(ended_task_state(array, scheduler_state, exit_code, memory), node=node)
            )


def _memory_used(rows: Iterable[Sequence[str]]) -> dict[str, int]:
    """The most memory of any step, by task."""
    max_memory: dict[str, int] = {}
    for job, _, _, _, _, used, _ in rows:
        task = job.partition(".")[0]
        max_memory[task] = max(max_memory.get(task, 0), _parse_bytes(used))
    return max_memory


def _parse_bytes(text: str) -> int:
    match = re.match(r"([\d.]+)([KMGT]?)", text)
    return round(float(match[1]) * _UNITS.get(match[2], 1)) if match else 0
