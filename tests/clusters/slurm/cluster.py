"""A real SLURM on this machine, for tests and for playing.

It has ``slurmctld``, ``slurmdbd`` with its database, ``munged``, and a ``slurmd`` for each node, ``n1`` and so on,
with GPUs that are counted only. Partitions: ``debug`` (the default), ``gpu``, and ``low`` and ``high``: jobs in ``low``
are preempted by all others, those in ``high`` preempt all others; the preempted are requeued. Accounts and QOS are
enforced: the account is ``research``, the QOS are ``normal`` and ``few``, which takes no more than 12 jobs of a user at
a time.

Everything is below one folder; several clusters, each in a folder of its own, can stand side by side. Only what was
started from a folder is stopped from it. A folder that is brought up again still knows its jobs and its accounting.

    python tests/clusters/slurm/cluster.py up|down|status [--folder DIR]
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

if not __package__:  # run as a program
    sys.path.insert(0, str(Path(__file__).parents[2]))

from clusters.slurm.configuration import (
    FIRST_NODE,
    SLURMDBD,
    Settings,
    address,
    database_socket,
    munge_socket,
)
from clusters.slurm.installation import Installation, answers
from clusters.slurm.packages import install
from clusters.slurm.processes import ClusterError, Daemon, descendants, open_files, processes, signal_process

DEFAULT_FOLDER = Path(__file__).parents[3] / "build" / "slurm"
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY"})


@dataclass(frozen=True)
class Cluster(Installation):
    """The cluster of ``folder``, whether it is up or not."""

    # Up and down

    def up(self, settings: Settings | None = None) -> None:
        """Bring it up, or what is missing of it; with other settings than it has, restart it.

        Raises `ClusterError` when a daemon does not start.
        """
        install()
        self._make_folders()
        with self._alone():
            self._configure(settings or self.settings)
            self._become_default()
            self.start("munged")
            self.start("mariadbd")
            self.start("slurmdbd")
            self._make_accounts()
            for name in list(self.daemons)[3:]:
                self._spawn(name)
            for name in self.daemons:
                self._wait_ready(name)

    def down(self) -> None:
        """Cancel its jobs and stop its daemons; what it knows stays in the folder."""
        if self.conf.exists():
            with self._alone():
                self._stop_all()

    @property
    def is_up(self) -> bool:
        """Whether it takes jobs."""
        return self.conf.exists() and Daemon(self.folder, "slurmctld").pid is not None and self._ready("slurmctld")

    def status(self) -> dict[str, str]:
        """What each daemon does, in words."""
        words = {name: f"runs as {daemon.pid}" if daemon.pid else "is down" for name, daemon in self.daemons.items()}
        if self.is_up:
            words |= {node: f"is {state}" for node, state in self.node_states().items()}
        return words

    # One daemon

    def start(self, name: str) -> None:
        """Start a daemon, unless it runs, and wait until it works."""
        self._spawn(name)
        self._wait_ready(name)

    def stop(self, name: str) -> None:
        """Stop a daemon in order."""
        self.daemons[name].stop()

    def kill(self, name: str) -> None:
        """``kill -9`` a daemon. Jobs outlive the slurmd that started them."""
        self.daemons[name].kill(signal.SIGKILL)
        self.daemons[name].wait_gone()

    def restart(self, name: str) -> None:
        """``kill -9`` a daemon and start it again."""
        self.kill(name)
        self.start(name)

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Kill slurmctld at the end, and start it with what it had on disk at the beginning, however long that took."""
        state, before = self.folder / "state", self.folder / "state.before"
        shutil.copytree(state, before)
        yield
        self.kill("slurmctld")
        shutil.rmtree(state)
        before.rename(state)
        self.start("slurmctld")

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Take a daemon away for a while: ``with cluster.without("slurmdbd")`` there is no accounting."""
        self.stop(name)
        try:
            yield
        finally:
            self.start(name)

    # Nodes

    def node_states(self) -> dict[str, str]:
        """``idle``, ``mixed``, ``allocated``, ``down``, … of each node."""
        lines = self.run("sinfo", "--noheader", "--Node", "--partition=debug", "--format=%N %T").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def node_down(self, node: str) -> None:
        """Crash a node: its slurmd and its jobs' processes are gone, and SLURM is told so."""
        down = ("scontrol", "update", f"nodename={node}", "state=down", "reason=crash")
        # SLURM is told before, or a job about to start fails for another reason; and after, or slurmd may have
        # reported the node back in between.
        self.run(*down)
        self.kill(f"slurmd-{node}")
        self._kill_steps(node)
        self.run(*down)

    def node_up(self, node: str) -> None:
        """Bring a node back into service, whatever took it away."""
        self.start(f"slurmd-{node}")

    def resume_nodes(self) -> None:
        """Bring back the nodes that SLURM took out of service."""
        for node, state in self.node_states().items():
            if state in ("drained", "draining", "down"):
                self.ask("scontrol", "update", f"nodename={node}", "state=resume")

    # Jobs

    def release_held_jobs(self) -> None:
        """Let jobs start that SLURM holds, because a node could not start them."""
        lines = self.run("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i|%r").splitlines()
        for job, reason in (line.split("|", 1) for line in lines):
            if reason == "launch failed requeued held":
                self.ask("scontrol", "release", job)

    def submit(self, *options: str | Path) -> str:
        """The id of a job handed to sbatch."""
        return self.run("sbatch", "--parsable", *options).strip()

    def job_states(self, job: str) -> dict[str, str]:
        """The state of each task of a job, by the id of the task: ``{"7_0": "RUNNING", "7_1": "PENDING"}``.

        Empty when slurmctld has forgotten the job, minutes after it ended.
        """
        ended = self.ask("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%i %T")
        if ended.returncode and "Invalid job id" not in ended.stderr:
            raise ClusterError(f"squeue: {ended.stderr.strip()}")
        return dict(line.split() for line in ended.stdout.splitlines())

    def wait_for(self, job: str, states: Collection[str] = ENDED, seconds: float = 240) -> dict[str, str]:
        """Wait until each task of a job is in one of these states; `ClusterError` when it is not in time."""
        end = time.monotonic() + seconds
        while not (now := self.job_states(job)) or not set(now.values()) <= set(states):
            if time.monotonic() > end:
                details = self.ask("scontrol", "show", "job", job).stdout
                raise ClusterError(f"job {job} after {seconds:.0f} s: {now}\n{details}")
            time.sleep(0.05)
        return now

    def wait_until_saved(self, job: str) -> None:
        """Wait until slurmctld, killed, would remember the job as it is now: it writes to disk every few seconds."""
        mark = f"saved-{time.monotonic_ns()}"
        ended = self.ask("scontrol", "update", f"jobid={job}", f"admincomment={mark}")
        # Some elements of an array may have ended meanwhile; the others are marked.
        if ended.returncode and "No error" not in ended.stderr:
            raise ClusterError(f"job {job} cannot be marked: {ended.stderr.strip()}")
        written = self.folder / "state" / "job_state"
        self.daemons["slurmctld"].wait_ready(lambda: written.exists() and mark.encode() in written.read_bytes())

    def cancel(self, *names: str) -> None:
        """Cancel all jobs of these names. (scancel holds a list of names to be one name.)"""
        for name in names:
            self.run("scancel", f"--name={name}")

    # What stands behind it

    def _become_default(self) -> None:
        """Be what SLURM's commands find without SLURM_CONF, which submitit takes from what a job submits itself."""
        other = Cluster(SYSTEM_CONF.resolve().parents[1])
        ours_or_gone = not SYSTEM_CONF.exists() or (other._settings_file.exists() and not other.is_up)
        if os.geteuid() == 0 and ours_or_gone and SYSTEM_CONF.parent.is_dir():
            SYSTEM_CONF.unlink(missing_ok=True)
            SYSTEM_CONF.symlink_to(self.conf)

    def _wait_ready(self, name: str) -> None:
        daemon = self.daemons[name]
        if name == "slurmdbd":
            return self._wait_for_slurmdbd()
        daemon.wait_ready(lambda: self._ready(name))
        if name.startswith("slurmd-"):
            self._put_in_service(name)

    def _wait_for_slurmdbd(self) -> None:
        daemon = self.daemons["slurmdbd"]
        try:
            daemon.wait_ready(lambda: self._ready("slurmdbd"), seconds=20)
        except ClusterError:  # once in a hundred starts it lives and never listens
            self.kill("slurmdbd")
            self._spawn("slurmdbd")
            daemon.wait_ready(lambda: self._ready("slurmdbd"))

    def _put_in_service(self, name: str) -> None:
        """A node that was taken out of service, by hand or by SLURM, may stay so when everything is restarted."""
        node = name.removeprefix("slurmd-")
        if self.node_states()[node] in ("down", "drained", "draining"):
            self.ask("scontrol", "update", f"nodename={node}", "state=resume")
        self.daemons[name].wait_ready(lambda: self.node_states()[node] in ("idle", "mixed", "allocated"))

    def _ready(self, name: str) -> bool:
        if name == "munged":
            return answers(munge_socket(self.folder))
        if name == "mariadbd":
            return answers(database_socket(self.folder))
        if name == "slurmdbd":
            return answers((address(), self.settings.port + SLURMDBD))
        if name == "slurmctld":
            return "is UP" in self.ask("scontrol", "ping").stdout
        place = self.settings.node_names.index(name.removeprefix("slurmd-"))
        return answers((address(), self.settings.port + FIRST_NODE + place))

    def _stop_all(self) -> None:
        self._cancel_all()
        for daemon in reversed(self.daemons.values()):
            if daemon.name == "slurmctld":
                self._kill_steps(*self.settings.node_names)
            daemon.stop()
        if SYSTEM_CONF.is_symlink() and SYSTEM_CONF.readlink() == self.conf:
            SYSTEM_CONF.unlink()

    def _cancel_all(self) -> None:
        """Cancel every job and wait until none runs: what slurmd started would outlive it."""
        if not self.is_up:
            return
        self.ask("scancel", f"--user={getpass.getuser()}")
        end = time.monotonic() + 10
        while self.ask("squeue", "--noheader", "--states=running,completing").stdout and time.monotonic() < end:
            time.sleep(0.1)

    def _kill_steps(self, *nodes: str) -> None:
        """Kill what the slurmd of these nodes have started, and its jobs: what writes to the log of one of them."""
        logs = {str(self.folder / "log" / f"slurmd-{node}.log") for node in nodes}
        for pid in processes():
            if is_step(pid) and not logs.isdisjoint(open_files(pid)):
                for process in descendants(pid):
                    signal_process(process, signal.SIGKILL)


def is_step(pid: int) -> bool:
    """Whether a process is the part of SLURM that stands above a job's own processes."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "slurmstepd"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def running(folder: Path, settings: Settings | None = None) -> Iterator[Cluster]:
    """A cluster that is up within the ``with`` block."""
    cluster = Cluster(folder.resolve())
    try:
        cluster.up(settings)
        yield cluster
    finally:
        cluster.down()


def find_cluster() -> Cluster | None:
    """The cluster that SLURM's commands talk to, or else that of the default folder, if it is up and was made here."""
    named = os.environ.get("SLURM_CONF")
    for conf in [Path(named)] if named else [SYSTEM_CONF, Cluster(DEFAULT_FOLDER).conf]:
        cluster = Cluster(conf.resolve().parents[1])
        if cluster._settings_file.exists() and cluster.is_up:
            return cluster
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see the module's docstring."""
    given = parser().parse_args(arguments)
    cluster = Cluster(given.folder.resolve())
    try:
        return {"up": up, "down": down, "status": status}[given.command](cluster, given)
    except (ClusterError, ValueError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="cluster.py", description="A real SLURM on this machine.")
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where it lives (%(default)s)")
    for field in fields(Settings):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, help=f"of a new cluster: {field.default}")
    return parser


def up(cluster: Cluster, given: argparse.Namespace) -> int:
    """Bring the cluster up and say how to use it."""
    start = time.monotonic()
    names = [field.name for field in fields(Settings)]
    changes = {name: value for name in names if (value := getattr(given, name)) is not None}
    cluster.up(replace(cluster.settings, **changes))
    settings = cluster.settings
    size = f"{settings.nodes} nodes of {settings.cpus} CPUs and {settings.gpus} GPUs"
    print(f"SLURM is up after {time.monotonic() - start:.1f} s: {size}, partitions debug, gpu, low, high")
    print(f"to use it:\n\n    . {cluster.folder}/env.sh\n\nits daemons' logs: {cluster.folder}/log")
    return 0


def down(cluster: Cluster, given: argparse.Namespace) -> int:
    """Take the cluster down."""
    cluster.down()
    return 0


def status(cluster: Cluster, given: argparse.Namespace) -> int:
    """Say what runs; 1 when the cluster does not take jobs."""
    for name, words in cluster.status().items():
        print(f"{name} {words}")
    return 0 if cluster.is_up else 1


if __name__ == "__main__":
    sys.exit(main())
