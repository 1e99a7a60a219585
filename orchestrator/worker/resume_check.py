"""Tries whether a training that is killed and goes on ends with the bits of one that is left alone.

The job runs twice, each time in a scratch folder: once to its end, and once killed as soon as there is a checkpoint,
and continued. The weights in the last checkpoints are compared, and the learning curves.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.secret_values import traceback_text
from seedfold.jobs.work import Work
from seedfold.orchestrator.worker.called_run import call_run
from seedfold.orchestrator.worker.foreground import set_job_environment
from seedfold.orchestrator.worker.job_log import start_logging
from seedfold.orchestrator.worker.job_process import import_run
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.store.published import HISTORY_FILE

_POLL_S = 0.01
LOG_FILE = "log.txt"
_OF_TORCH = (".ckpt", ".pt", ".pth")


class ResumeCheckError(SeedfoldError):
    """It could not be tried; the message says why."""


@dataclass(frozen=True)
class ResumeCheck:
    """What was found: ``differences`` has a line for each thing that is not the same, and is empty if all is."""

    compared: tuple[str, ...]
    differences: tuple[str, ...]


def check_resume(make_work: Callable[[], Work]) -> ResumeCheck:
    """Run the job of ``make_work`` undisturbed, then killed and continued, and compare. Raises ResumeCheckError."""
    whole, killed = make_work(), make_work()
    _require_success(_wait(_start(whole)), whole)
    process = _start(killed)
    if not _kill_at_checkpoint(process, killed):
        raise ResumeCheckError(f"the job left no checkpoint before its end, so it was not killed; log {_log(killed)}")
    _require_success(_wait(_start(killed)), killed)
    return _compare(whole, killed)


def _log(work: Work) -> Path:
    return work.staging.parent / LOG_FILE


def _start(work: Work) -> int:
    """Start an attempt in a process and a process group of its own; return the number of the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    os.setsid()
    code = 1
    try:
        handle = os.open(_log(work), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        start_logging()
        set_job_environment(work.description)
        call_run(import_run(work.description.run), work, Attempt(work.description, work.attempt, work.folder))
        code = 0
    except BaseException as error:
        print(traceback_text(error, os.environ), flush=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _require_success(code: int, work: Work) -> None:
    if code:
        raise ResumeCheckError(f"the job failed (exit code {code}); log {_log(work)}")


def _kill_at_checkpoint(process: int, work: Work) -> bool:
    """Kill all processes of the job as soon as there is a checkpoint; return whether it came to that."""
    while not _last_checkpoints(work):
        if os.waitpid(process, os.WNOHANG)[0]:
            return False
        time.sleep(_POLL_S)
    os.killpg(process, signal.SIGKILL)
    return _wait(process) == -signal.SIGKILL


def _last_checkpoints(work: Work) -> list[Path]:
    """The files of the last states: those of our trainers, and those of programs."""
    return sorted([*work.folder.glob("last*"), *(work.folder / "run" / "checkpoints").glob("last*")])


def _compare(whole: Work, killed: Work) -> ResumeCheck:
    compared, differences = [], []
    for file in _last_checkpoints(whole):
        name = str(file.relative_to(whole.folder))
        compared.append(name)
        found = _compare_checkpoints(file, killed.folder / name)
        differences += [f"{name}: {found}"] if found else []
    curves = [work.staging / HISTORY_FILE for work in (whole, killed)]
    if curves[0].exists():
        compared.append(HISTORY_FILE)
        if not curves[1].exists() or curves[0].read_bytes() != curves[1].read_bytes():
            differences.append(f"{HISTORY_FILE}: {curves[0]} and {curves[1]} differ")
    return ResumeCheck(tuple(compared), tuple(differences))


def _compare_checkpoints(first: Path, second: Path) -> str | None:
    """Return how two checkpoints differ: their weights, or their bytes if they are no checkpoints of torch."""
    if not second.exists():
        return "is missing after the kill"
    weights = [_read_weights(file) for file in (first, second)]
    if weights[0] is None or weights[1] is None:
        return None if first.is_dir() or first.read_bytes() == second.read_bytes() else "the bytes differ"
    if weights[0].keys() != weights[1].keys():
        return "the names of the weights differ"
    for name, value in weights[0].items():
        other = weights[1][name]
        if hasattr(value, "equal") and not value.equal(other):
            return f"{name} differs by up to {(value.double() - other.double()).abs().max().item():.3g}"
    return None


def _read_weights(file: Path) -> dict[str, Any] | None:
    """Return the weights in a checkpoint; None for a file without a ``state_dict`` of torch. No code is executed."""
    if file.suffix not in _OF_TORCH:
        return None
    import pickle

    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError):
        return None
    found = state.get("state_dict") if isinstance(state, dict) else None
    return found if isinstance(found, dict) else None
