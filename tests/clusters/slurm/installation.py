"""What a cluster of the tests is made of: its folder, the files that its daemons read, and the daemons."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import shlex
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clusters.slurm.configuration import (
    ACCOUNT,
    CLUSTER,
    FEW,
    PORTS,
    QOS_WITH_FEW,
    Settings,
    address,
    database_socket,
    gres_conf,
    munge_socket,
    slurm_conf,
    slurmdbd_conf,
)
from clusters.slurm.database import database_command, make_database
from clusters.slurm.packages import PATH
from clusters.slurm.processes import ClusterError, Daemon

LONGEST_SOCKET = 107  # characters in the path of a socket


@dataclass(frozen=True)
class Installation(ABC):
    """The cluster of ``folder`` before anybody uses it."""

    folder: Path

    @abstractmethod
    def _stop_all(self) -> None:
        """Cancel all jobs and stop all daemons."""

    @property
    def conf(self) -> Path:
        """What SLURM_CONF has to say."""
        return self.folder / "etc" / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with this cluster as the one that SLURM's commands talk to."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        return {**own, "SLURM_CONF": str(self.conf), "PATH": PATH}

    @property
    def settings(self) -> Settings:
        """As the cluster was last brought up with; the defaults if it never was."""
        try:
            return Settings(**json.loads(self._settings_file.read_text()))
        except FileNotFoundError:
            return Settings()

    @property
    def daemons(self) -> dict[str, Daemon]:
        """By name, in the order in which they are started: slurmd of node n1 is ``slurmd-n1``."""
        nodes = [f"slurmd-{node}" for node in self.settings.node_names]
        return {name: Daemon(self.folder, name) for name in ("munged", "mariadbd", "slurmdbd", "slurmctld", *nodes)}

    def run(self, *command: str | Path) -> str:
        """What one of SLURM's commands prints; `ClusterError` when it fails."""
        ended = self.ask(*command)
        if ended.returncode:
            raise ClusterError(f"{shlex.join(map(str, command))}: {ended.stderr.strip() or ended.stdout.strip()}")
        return ended.stdout

    def ask(self, *command: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one of SLURM's commands, which may fail."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.json"

    def _make_folders(self) -> None:
        longest = max(len(os.fspath(path)) for path in (munge_socket(self.folder), database_socket(self.folder)))
        if longest > LONGEST_SOCKET:
            raise ClusterError(f"{self.folder}: too long a path, sockets below it have {LONGEST_SOCKET} characters")
        for name in ("etc", "run", "log", "db", "state", "dev", "munge"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "munge").chmod(0o700)
        (self.folder / "db").chmod(0o700)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / "run" / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _configure(self, settings: Settings) -> None:
        """Write what the daemons read; stop those that run and have read something else."""
        runs = any(daemon.pid for daemon in self.daemons.values())
        settings = replace(settings, port=self.settings.port if runs else free_ports(settings.port))
        files = self._files(settings)
        if runs and any(not file.exists() or file.read_text() != text for file, text in files.items()):
            self._stop_all()
        self._settings_file.write_text(json.dumps(asdict(settings), indent=2) + "\n")
        for file, text in files.items():
            file.touch(mode=0o600)  # slurmdbd insists on it for its own
            file.write_text(text)
        self.conf.chmod(0o644)
        self._make_nodes(settings)

    def _files(self, settings: Settings) -> dict[Path, str]:
        texts = {"slurm.conf": slurm_conf, "slurmdbd.conf": slurmdbd_conf, "gres.conf": gres_conf}
        files = {self.folder / "etc" / name: text(self.folder, settings) for name, text in texts.items()}
        return {**files, self.folder / "env.sh": f"export SLURM_CONF={shlex.quote(str(self.conf))}\n"}

    def _make_nodes(self, settings: Settings) -> None:
        for node in settings.node_names:
            (self.folder / "spool" / node).mkdir(parents=True, exist_ok=True)
        for number in range(settings.gpus):
            device = self.folder / "dev" / f"nvidia{number}"
            if not device.is_symlink():
                device.symlink_to("/dev/null")

    def _spawn(self, name: str) -> None:
        if name == "munged":
            make_key(self.folder / "munge" / "key")
        if name == "mariadbd":
            make_database(self.folder)
        scarce = {variable: os.environ[variable] for variable in ("HOME", "LANG", "USER") if variable in os.environ}
        paths = {"PATH": PATH, "SLURM_CONF": str(self.conf), "MYSQL_UNIX_PORT": str(database_socket(self.folder))}
        self.daemons[name].start(self._command(name), scarce | paths)

    def _command(self, name: str) -> list[str]:
        if name == "munged":
            munge, log = self.folder / "munge", self.folder / "log" / "munged.log"
            files = (
                f"--key-file={munge}/key",
                f"--seed-file={munge}/seed",
                f"--pid-file={munge}/pid",
                f"--log-file={log}",
            )
            return ["munged", "--foreground", "--force", f"--socket={munge_socket(self.folder)}", *files]
        if name == "mariadbd":
            return database_command(self.folder)
        if name.startswith("slurmd-"):
            return ["slurmd", "-D", "-N", name.removeprefix("slurmd-")]
        return [name, "-D"]

    def _make_accounts(self) -> None:
        """Tell the database of the cluster before slurmctld asks it; once."""
        complete = self.folder / "db" / "accounts"
        if complete.exists():
            return
        user = getpass.getuser()
        for what in (
            ["cluster", CLUSTER],
            ["qos", QOS_WITH_FEW, f"MaxSubmitJobsPerUser={FEW}"],
            ["account", ACCOUNT, "Description=tests", "Organization=tests"],
            ["user", user, f"Account={ACCOUNT}", f"DefaultAccount={ACCOUNT}"],
        ):
            self._sacctmgr("add", *what)
        self._sacctmgr("modify", "account", ACCOUNT, "set", f"QOS=normal,{QOS_WITH_FEW}", "DefaultQOS=normal")
        self._sacctmgr("modify", "user", user, "set", f"DefaultAccount={ACCOUNT}")
        complete.touch()

    def _sacctmgr(self, *command: str) -> None:
        ended = self.ask("sacctmgr", "--immediate", "--quiet", *command)
        if ended.returncode and not any(word in ended.stdout for word in ("already exists", "Nothing")):
            raise ClusterError(f"sacctmgr {shlex.join(command)}: {ended.stdout} {ended.stderr}")


def make_key(file: Path) -> None:
    """Write a secret that only its owner can read, unless there is one."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_bytes(os.urandom(128))


def answers(where: Path | tuple[str, int]) -> bool:
    """Whether somebody listens on a socket or a port."""
    family = socket.AF_UNIX if isinstance(where, Path) else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.settimeout(1)
        return probe.connect_ex(os.fspath(where) if isinstance(where, Path) else where) == 0


def free_ports(first: int) -> int:
    """The first of so many free ports in a row, counted in steps from ``first``."""
    for start in range(first, 32_000, PORTS):
        if not any(answers((address(), port)) for port in range(start, start + PORTS)):
            return start
    raise ClusterError(f"no {PORTS} ports from {first} on are free")
