"""Schedulers whose commands misbehave, behind programs of ours: a fake LSF, the SLURM that is up, or one of our own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from clusters.lsf.cluster import Lsf
from clusters.lsf.settings import Settings as LsfSettings
from clusters.slurm.cluster import Cluster, find_cluster
from clusters.slurm.configuration import PORTS
from clusters.slurm.configuration import Settings as SlurmSettings
from clusters.slurm.packages import missing_packages
from faults.processes import find_processes

SchedulerName = Literal["lsf", "slurm"]
COMMANDS: dict[SchedulerName, tuple[str, ...]] = {
    "lsf": ("bsub", "bjobs", "bhist", "bkill"),
    "slurm": ("sbatch", "squeue", "sacct", "scancel"),
}
NODES = ("n1", "n2")
DAEMONS = ("slurmctld", "slurmctld", "slurmdbd", *(f"slurmd-{node}" for node in NODES))
MODES = ("hang", "lose", "fail", "garbage", "away")
TIME_SCALE = 0.05
"""A minute of the fake LSF lasts three seconds."""
_FIRST_PORT, _PLACES = 26_000, 20

_NEEDED_BY = {"slurmdbd": (), "slurmctld": ("slurmdbd",)}
_HANGING = "sleep 1000"

_PROGRAM = """\
#!/bin/bash
# hang: no answer. lose: it is done, and there is no answer. fail: it is done, and the answer is an error.
# garbage: it is not done, and the answer makes no sense. away: the server cannot be reached.
case "$(cat {mode_file} 2>/dev/null)" in
    hang) exec sleep 1000 ;;
    lose) {real} "$@" >/dev/null 2>&1; exec sleep 1000 ;;
    fail) {real} "$@" >/dev/null 2>&1; echo "{away}" >&2; exit {code} ;;
    garbage) echo "%%% \u00e4 <0x1f> Job <> is [ ] {{"; exit 0 ;;
    away) echo "{away}" >&2; exit {code} ;;
esac
exec {real} "$@"
"""
_AWAY: dict[SchedulerName, tuple[str, int]] = {
    "lsf": ("Cannot connect to LSF. Please wait ...", 255),
    "slurm": ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", 1),
}


@dataclass
class Scheduler:
    """A scheduler for one schedule, with its misbehaving commands in ``folder``.

    ``seed`` keeps the ports of SLURMs apart that are up at the same time; a SLURM without it is shared.
    """

    name: SchedulerName
    folder: Path
    dialect: str = "lsf10"
    seed: int | None = None

    @property
    def _lsf(self) -> Lsf:
        return Lsf(self.folder / "lsf")

    @cached_property
    def _slurm(self) -> Cluster:
        if self.seed is not None:
            return Cluster(Path(tempfile.mkdtemp(prefix="slurm-")).resolve())  # The path of a socket has to be short.
        cluster = find_cluster()
        assert cluster is not None
        return cluster

    def start(self) -> None:
        """Bring up what is its own, and put the programs in front."""
        (self.folder / "front").mkdir(parents=True)
        if self.name == "lsf":
            (self.folder / "lsf").mkdir()
            settings = LsfSettings(dialect=self.dialect, time_scale=TIME_SCALE)  # type: ignore[arg-type]
            self._lsf.start(settings, owner=os.getpid())
        elif self.seed is not None:
            first_port = _FIRST_PORT + 4 * PORTS * (self.seed % _PLACES)
            self._slurm.up(SlurmSettings(nodes=len(NODES), port=first_port))
        for command in COMMANDS[self.name]:
            real = shutil.which(command, path=self._path)
            away, code = _AWAY[self.name]
            text = _PROGRAM.format(mode_file=self._mode_file(command), real=real, away=away, code=code)
            (self.folder / "front" / command).write_text(text)
            (self.folder / "front" / command).chmod(0o755)

    @property
    def _path(self) -> str:
        usual = os.environ.get("PATH", os.defpath)
        return f"{self._lsf.bin}:{usual}" if self.name == "lsf" else usual

    @property
    def variables(self) -> dict[str, str]:
        """What has to be in the environment of whoever uses it."""
        own = self._lsf.variables if self.name == "lsf" else {"SLURM_CONF": str(self._slurm.conf)}
        return {**own, "PATH": f"{self.folder / 'front'}:{self._path}"}

    def _mode_file(self, command: str) -> Path:
        return self.folder / "front" / f".{command}"

    def misbehave(self, command: str, mode: str) -> None:
        """Have a command misbehave, until `behave`."""
        self._mode_file(command).write_text(mode)

    def behave(self, command: str) -> None:
        """Have a command do what it should."""
        self._mode_file(command).unlink(missing_ok=True)
        for process in find_processes(self.folder.parent):
            if process.what.strip() == _HANGING:
                process.send(signal.SIGKILL)

    def crash_node(self, node: str) -> None:
        """A node loses its power. SLURM is told so: its controller comes back for it, if it was killed."""
        if self.name == "slurm":
            self._start_what_it_needs(f"slurmd-{node}")
        self._own.node_down(node)

    def bring_node_back(self, node: str) -> None:
        """It is there again."""
        if self.name == "slurm":
            self._start_what_it_needs(f"slurmd-{node}")
        self._own.node_up(node)

    @property
    def _own(self) -> Lsf | Cluster:
        return self._lsf if self.name == "lsf" else self._slurm

    def kill_daemon(self, name: str) -> None:
        """Kill a daemon of SLURM, unless it is dead."""
        if self._slurm.daemons[name].pid:
            self._slurm.kill(name)

    def start_daemon(self, name: str) -> None:
        """Start it again."""
        self._start_what_it_needs(name)
        self._slurm.start(name)

    def _start_what_it_needs(self, name: str) -> None:
        """Start what a daemon waits for when it starts, and what is to be started later all the same."""
        for needed in _NEEDED_BY.get(name, ("slurmdbd", "slurmctld")):
            self._slurm.start(needed)

    def put_in_service(self) -> None:
        """Do as an administrator does after a crash.

        A slurmctld that has lost the last seconds hands out job ids again, which nodes know already: SLURM drains the
        nodes and holds the jobs, until somebody says otherwise.
        """
        if self.seed is not None and self._slurm.is_up:
            self._slurm.resume_nodes()
            self._slurm.release_held_jobs()

    def stop(self) -> None:
        """End what this schedule has there."""
        for command in COMMANDS[self.name]:
            self.behave(command)
        if self.name == "lsf":
            with suppress(ConnectionError):
                self._lsf.stop()
        elif self.seed is not None:
            self._slurm.down()
            shutil.rmtree(self._slurm.folder)


def reason_against(name: SchedulerName, has_own: bool) -> str | None:
    """Why there are no schedules on a scheduler; None if there are."""
    if name == "lsf":
        return None
    if has_own:
        return "SLURM is not installed" if missing_packages() else None
    return None if find_cluster() else "no SLURM is up"
