"""A MPS daemon of a worker's own: the jobs that share a GPU then compute at the same time, and not in turns.

NVIDIA's Multi-Process Service is a program of the driver. The daemon belongs to the worker: its pipe and its log are in
a folder of this user in the machine's temporary folder, and a lock file in it is held as long as the worker lives. A
worker that is killed leaves its daemon behind; the next worker of the user on the machine ends it. A daemon of somebody
else is never touched: where jobs would find one, none is started.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.settings.private_folder import open_private_file, private_folder
from seedfold.orchestrator.worker.log_lines import say

_PROGRAM = "nvidia-cuda-mps-control"
_PIPE, _LOG = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_COMMON_PIPE = Path("/tmp/nvidia-mps")
"""Where every CUDA program looks, unless it is told otherwise."""
_COMMAND_S, _END_S = 20.0, 10.0


@dataclass(frozen=True)
class MpsDaemon:
    """A daemon that runs for this process, in ``folder``; ``lock`` is the handle of its lock file.

    ``uuids`` are those of its GPUs, by the names that slots have for them.
    """

    folder: Path
    lock: int
    uuids: Mapping[str, str]

    @classmethod
    def start(cls, uuids: Mapping[str, str]) -> MpsDaemon | None:
        """Start a daemon for these GPUs; None, with a line in the log, where there is none to be had."""
        end_abandoned()
        reason = _why_not(uuids)
        if reason is not None:
            say(f"jobs that share a GPU compute in turns: {reason}")
            return None
        folder = private_folder("mps") / f"{os.getpid()}-{time.time_ns()}"
        for part in (folder, folder / "pipe", folder / "log"):
            part.mkdir(mode=0o700)
        lock = _try_lock(folder)
        assert lock is not None
        daemon = cls(folder, lock, uuids)
        # The daemon would number its GPUs anew; UUIDs mean the same to it and to jobs.
        failed = _command(folder, ["-d"], CUDA_VISIBLE_DEVICES=",".join(uuids.values())) is None
        if failed:
            say(f"jobs that share a GPU compute in turns: {_PROGRAM} did not start")
            daemon.close()
            return None
        return daemon

    def environment_variables(self, gpus: Sequence[str]) -> dict[str, str]:
        """Return the environment variables with which a job on these GPUs finds the daemon."""
        return _variables(self.folder) | {"CUDA_VISIBLE_DEVICES": ",".join(self.uuids[gpu] for gpu in gpus)}

    def let_go(self, process: int) -> None:
        """End what a process still computes, before it is killed: the other jobs could be harmed otherwise."""
        for server in (_command(self.folder, [], "get_server_list\n") or "").split():
            if server.isdecimal():
                _command(self.folder, [], f"terminate_client {server} {process}\n")

    def close(self) -> None:
        """End the daemon and remove its folder."""
        _end(self.folder)
        os.close(self.lock)


def end_abandoned() -> None:
    """End the daemons of workers of this user that were killed."""
    for folder in private_folder("mps").iterdir():
        lock = _try_lock(folder)
        if lock is not None:
            _end(folder)
            os.close(lock)


def _why_not(uuids: Mapping[str, str]) -> str | None:
    if shutil.which(_PROGRAM) is None:
        return f"{_PROGRAM} is not installed"
    if not uuids:
        return "the driver does not tell the UUIDs of the GPUs"
    pipe = Path(os.environ.get(_PIPE, _COMMON_PIPE))
    return f"there is a MPS daemon already, in {pipe}, and jobs use it" if (pipe / "control").exists() else None


def _try_lock(folder: Path) -> int | None:
    """Lock the folder of a daemon; None if its worker lives, or the folder has just gone."""
    try:
        handle = open_private_file(folder / "lock")
    except UsageError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _end(folder: Path) -> None:
    """Ask the daemon in a folder to quit, wait until it has, and remove the folder."""
    control = folder / "pipe" / "control"
    if control.exists():
        _command(folder, [], "quit\n")
        end = time.monotonic() + _END_S
        while control.exists() and time.monotonic() < end:
            time.sleep(0.05)
    with suppress(OSError):
        shutil.rmtree(folder)


def _variables(folder: Path) -> dict[str, str]:
    return {_PIPE: str(folder / "pipe"), _LOG: str(folder / "log")}


def _command(folder: Path, options: Sequence[str], commands: str = "", **variables: str) -> str | None:
    """Run the control program; return what it says, None if it fails."""
    import subprocess

    environment = {**os.environ, **_variables(folder), **variables}
    try:
        done = subprocess.run(
            [_PROGRAM, *options],
            input=commands,
            # A daemon keeps what it has inherited open.
            stdout=subprocess.PIPE if commands else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=_COMMAND_S,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout or "") if done.returncode == 0 else None
