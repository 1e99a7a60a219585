"""Schedulers whose commands misbehave: a fake LSF, or the SLURM that is up, behind programs of ours."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clusters.lsf.cluster import Lsf
from clusters.lsf.settings import Settings as LsfSettings
from clusters.slurm.cluster import find_cluster

COMMANDS = {"lsf": ("bsub", "bjobs", "bhist", "bkill"), "slurm": ("sbatch", "squeue", "sacct", "scancel")}
MODES = ("hang", "lose", "fail", "garbage", "away")
TIME_SCALE = 0.05
"""A minute of the fake LSF lasts three seconds."""

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
_AWAY = {
    "lsf": ("Cannot connect to LSF. Please wait ...", 255),
    "slurm": ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", 1),
}


@dataclass
class Scheduler:
    """A scheduler for one schedule, with its misbehaving commands in ``folder``."""

    name: str
    folder: Path
    dialect: str = "lsf10"

    @property
    def _lsf(self) -> Lsf:
        return Lsf(self.folder / "lsf")

    def start(self) -> None:
        """Bring the fake LSF up, and put the programs in front."""
        (self.folder / "front").mkdir(parents=True)
        if self.name == "lsf":
            (self.folder / "lsf").mkdir()
            settings = LsfSettings(dialect=self.dialect, time_scale=TIME_SCALE)  # type: ignore[arg-type]
            self._lsf.start(settings, owner=os.getpid())
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
        own = self._lsf.variables if self.name == "lsf" else {"SLURM_CONF": str(_slurm_conf())}
        return {**own, "PATH": f"{self.folder / 'front'}:{self._path}"}

    def _mode_file(self, command: str) -> Path:
        return self.folder / "front" / f".{command}"

    def misbehave(self, command: str, mode: str) -> None:
        """Have a command misbehave, until `behave`."""
        self._mode_file(command).write_text(mode)

    def behave(self, command: str) -> None:
        """Have a command do what it should."""
        self._mode_file(command).unlink(missing_ok=True)

    def crash_node(self, node: str) -> None:
        """A node of the fake LSF loses its power."""
        self._lsf.node_down(node)

    def bring_node_back(self, node: str) -> None:
        """It is there again."""
        self._lsf.node_up(node)

    def stop(self) -> None:
        """End what this schedule has there."""
        for command in COMMANDS[self.name]:
            self.behave(command)
        if self.name == "lsf":
            with suppress(ConnectionError):
                self._lsf.stop()


def _slurm_conf() -> Path:
    cluster = find_cluster()
    assert cluster is not None
    return cluster.conf


def reason_against_slurm() -> str | None:
    """Why there are no schedules on SLURM; None if one is up."""
    return None if find_cluster() else "no SLURM is up"
