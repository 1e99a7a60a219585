"""A small project whose studies run on the cluster, and schedulers that misbehave."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from clusters.lsf.cluster import Lsf
from clusters.lsf.cluster import running as running_lsf
from clusters.lsf.settings import Settings as LsfSettings
from clusters.slurm.cluster import Cluster
from clusters.slurm.configuration import QOS_WITH_FEW
from command_server import worker_python
from toyproject import WAIT_S, Toy, make_toy, wait_until

from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import JobStates

JOBS = 6
"""Number of jobs of the study ``light``."""


@dataclass(frozen=True)
class Project(ABC):
    """The toy project on a cluster.

    ``submits`` and ``asks`` name the scheduler's commands that submit and that list jobs; ``array_only`` are lines of
    shell at the head of a program in place of the first: what is no array goes the usual way, and ``submit`` does what
    the real one does. ``hold`` has jobs wait for `release`.
    """

    toy: Toy
    scheduler: ClassVar[str]
    submit_command: ClassVar[str]
    list_command: ClassVar[str]
    array_only_lines: ClassVar[str]
    hold_override: ClassVar[str]

    def with_toy(self, toy: Toy) -> Project:
        """The same cluster, seen from another environment."""
        return replace(self, toy=toy)

    @abstractmethod
    def job_states(self) -> dict[str, str]:
        """What the scheduler says of every task and keeper of this project, by its number."""

    @abstractmethod
    def release(self, number: str) -> None:
        """Let a held array start."""

    @abstractmethod
    def kill(self, *jobs: str) -> None:
        """End jobs, as their owner does, or take them out of the queue."""

    @abstractmethod
    def send_warning(self, task: str) -> None:
        """Send a task what it hears before its time limit."""

    @abstractmethod
    def requeue(self, task: str) -> None:
        """Put a running task back into the queue, as an administrator does."""

    @abstractmethod
    def task_name(self, number: str, index: int) -> str:
        """The scheduler's name for a task."""

    def launch(self, *args: str, experiment: str = "light") -> str:
        """``seedfold launch cluster=…``, which has to succeed; what it printed."""
        return self.toy.output_of("launch", *self.arguments(experiment, *args))

    def arguments(self, experiment: str, *args: str) -> list[str]:
        """What `plan` and `launch` are called with: tasks are forks, as `worker_python` makes them."""
        cluster = f"cluster={self.scheduler}", f"cluster.python={worker_python()}"
        return ["--config-dir", "conf", f"experiment={experiment}", *cluster, *args]

    def ledger(self, study: str = "light") -> Ledger:
        """What is known of a study."""
        return Ledger(self.toy.study(study))

    def states(self, study: str = "light") -> dict[str, int]:
        """How many jobs stand how, from what is on disk: nobody asks the scheduler, nothing is moved on."""
        ledger = self.ledger(study)
        header = ledger.plans.header
        assert header is not None
        job_states = JobStates(Root(self.toy.root), ledger, RetryPolicies.parse(header.settings["failures"]))
        return dict(Counter(job_states.of(job.id).state for job in ledger.plans.current_jobs.values()))

    def wait(self, study: str = "light", seconds: float = WAIT_S, **states: int) -> None:
        """Wait until exactly so many jobs stand so, and ask nothing of the scheduler meanwhile."""
        wait_until(lambda: self.states(study) == states, seconds, lambda: self.describe(study), pause_s=0.2)

    def describe(self, study: str = "light") -> str:
        """What is known of a study, for whoever asks why a test failed."""
        events = (path.read_text() for path in sorted(self.toy.study(study).path.glob("events/*.jsonl")))
        return "\n".join([str(self.states(study)), str(self.job_states()), *events])

    def wait_with_status(self, study: str = "light", seconds: float = WAIT_S, **states: int) -> None:
        """As `wait`, while somebody looks at the status, which moves things on."""
        wait_until(lambda: self._states_by_status(study) == states, seconds, lambda: self.describe(study), pause_s=0.5)

    def _states_by_status(self, study: str) -> dict[str, int]:
        """How many jobs stand how, as `status` says, also where the scheduler did not answer it in time."""
        ended = self.toy.run_in_process("status", study, "--json")
        assert ended.returncode in {0, 3}, ended.stdout + ended.stderr
        return {state: count for state, count in json.loads(ended.stdout)["states"].items() if count}

    def submissions(self, study: str = "light") -> list[Submission]:
        """All that were ever made, the oldest first."""
        folders = self.toy.study(study).submissions_folder.iterdir()
        return sorted((Submission.read(folder) for folder in folders), key=lambda one: one.created)

    def first_array_id(self, study: str = "light") -> str:
        """The scheduler's number of the first array."""
        number = self.submissions(study)[0].scheduler_id()
        assert number is not None
        return number

    def job_names(self) -> set[str]:
        """What the jobs of this project are called."""
        return {name for study in Root(self.toy.root).study_folders() for name in self._study_job_names(study.name)}

    def _study_job_names(self, study: str) -> Iterator[str]:
        for submission in self.submissions(study):
            assert submission.array is not None
            yield f"{study}.{submission.array.stage}.{submission.token}"
            yield f"{study}.keeper.{submission.token}"

    def wait_until_empty(self) -> None:
        """Wait until the scheduler has nothing of this project left."""
        wait_until(lambda: not unfinished_jobs(self.job_states()), pause_s=0.2)

    def cancel_all(self) -> None:
        """Cancel what is left."""
        if self.toy.root.exists():
            unfinished = unfinished_jobs(self.job_states())
            if unfinished:
                self.kill(*unfinished)

    def ran_each_once(self, jobs: int = JOBS) -> bool:
        """Whether so many jobs ran, each of them once."""
        return list(self.toy.executions().values()) == [1] * jobs

    def has_nothing_to_do(self, study: str = "light") -> bool:
        """Whether nothing is to be done any more."""
        return self.toy.output_of("advance", study) == f"{study}: nothing to do\n"


@dataclass(frozen=True)
class SlurmProject(Project):
    """The toy project on a real SLURM."""

    slurm: Cluster
    scheduler, submit_command, list_command, hold_override = "slurm", "sbatch", "squeue", "cluster.options={hold: true}"
    array_only_lines = 'case "$*" in *--test-only*|*keeper*) exec $REAL "$@";; esac\nsubmit() { $REAL "$@"; }\n'

    def job_states(self) -> dict[str, str]:
        names = self.job_names()
        listed = self.slurm.run("squeue", "-h", "-r", "-t", "all", "-o", "%i|%j|%T").splitlines()
        rows = (line.split("|") for line in listed)
        return {number: state for number, name, state in rows if name in names}

    def describe(self, study: str = "light") -> str:
        queue = self.slurm.run("squeue", "-h", "-r", "-t", "all", "-o", "%i %j %T %r %N")
        return f"{super().describe(study)}\n{queue}\n{self.slurm.run('sinfo', '-N', '-o', '%N %T %E')}"

    def release(self, number: str) -> None:
        self.slurm.run("scontrol", "release", number)

    def kill(self, *jobs: str) -> None:
        self.slurm.run("scancel", *jobs)

    def send_warning(self, task: str) -> None:
        self.slurm.run("scancel", "--signal=USR2", "--batch", task)

    def requeue(self, task: str) -> None:
        self.slurm.run("scontrol", "requeue", task)

    def task_name(self, number: str, index: int) -> str:
        return f"{number}_{index}"


@dataclass(frozen=True)
class LsfProject(Project):
    """The toy project on a fake LSF."""

    lsf: Lsf
    scheduler, submit_command, list_command, hold_override = "lsf", "bsub", "bjobs", "cluster.options={H: true}"
    array_only_lines = (
        "script=$(mktemp); cat > $script\nsubmit() { $REAL < $script; }\n"
        'if grep -q "^#BSUB -J .*keeper" $script; then submit; exit; fi\n'
    )

    def job_states(self) -> dict[str, str]:
        return self.lsf.job_states()

    def release(self, number: str) -> None:
        self.lsf.run("bresume", number)

    def kill(self, *jobs: str) -> None:
        self.lsf.kill(*jobs)

    def send_warning(self, task: str) -> None:
        self.lsf.run("bkill", "-s", "USR2", task)

    def requeue(self, task: str) -> None:
        self.lsf.run("brequeue", task)

    def task_name(self, number: str, index: int) -> str:
        return f"{number}[{index + 1}]"

    def describe(self, study: str = "light") -> str:
        return "\n".join([super().describe(study), self.lsf.ask("bjobs", "-p").stdout])


def unfinished_jobs(states: dict[str, str]) -> list[str]:
    """Those that are queued or at work."""
    ended = {"DONE", "EXIT", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY"}
    return [job for job, state in states.items() if state not in ended]


def array_ids(jobs: Iterable[str]) -> set[str]:
    """The numbers of the arrays that tasks belong to."""
    return {job.replace("[", "_").partition("_")[0] for job in jobs if "_" in job or "[" in job}


def begun(project: Project, jobs: int) -> None:
    """Wait until so many jobs of the study ``light`` have begun to sleep."""
    wait_until(lambda: len(list(project.toy.study("light").path.glob("jobs/*/*/slept.txt"))) == jobs)


def make_slurm_project(slurm: Cluster, folder: Path) -> SlurmProject:
    """Write the project into ``folder``; what its jobs are called is known to no one else."""
    toy = make_toy(folder)
    environment = {name: value for name, value in slurm.environment.items() if name in {"SLURM_CONF"}}
    return SlurmProject(Toy(toy.folder, toy.root, {**toy.environment, **environment}), slurm)


def make_lsf_project(lsf: Lsf, folder: Path) -> LsfProject:
    """Write the project into ``folder``, and have it talk to this LSF."""
    toy = make_toy(folder)
    environment = {**lsf.variables, "PATH": f"{lsf.bin}{os.pathsep}{toy.environment['PATH']}"}
    return LsfProject(Toy(toy.folder, toy.root, {**toy.environment, **environment}), lsf)


@pytest.fixture
def project(slurm: Cluster, tmp_path: Path) -> Iterator[SlurmProject]:
    """The project on the SLURM that everybody shares; what it left there is cancelled at the end."""
    project = make_slurm_project(slurm, tmp_path / "project")
    yield project
    project.cancel_all()


@pytest.fixture
def few(slurm: Cluster) -> Iterator[str]:
    """The QOS that takes few jobs of a user, with none in it, for one test at a time: everybody's jobs count.

    Whoever asks for it does so before `project`, whose jobs are then gone when the next one gets it.
    """
    with (slurm.folder / "few.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wait_until(lambda: not slurm.run("squeue", "-h", "-q", QOS_WITH_FEW))
        yield QOS_WITH_FEW


@pytest.fixture
def project_alone(slurm_alone: Cluster, tmp_path: Path) -> Iterator[SlurmProject]:
    """The project on a SLURM of its own."""
    project = make_slurm_project(slurm_alone, tmp_path / "project")
    yield project
    project.cancel_all()


@pytest.fixture
def on(lsf: Lsf, tmp_path: Path) -> LsfProject:
    """The project on the LSF of this test."""
    return make_lsf_project(lsf, tmp_path / "project")


@pytest.fixture
def on_classic(tmp_path: Path) -> Iterator[LsfProject]:
    """The project on a classic LSF of its own, whose minutes last three seconds."""
    folder = tmp_path / "lsf"
    folder.mkdir()
    with running_lsf(folder, LsfSettings(dialect="classic", time_scale=0.05)) as lsf:
        yield make_lsf_project(lsf, tmp_path / "project")


@pytest.fixture(params=[pytest.param("project", marks=pytest.mark.slurm), "on_classic"], ids=["slurm", "lsf"])
def either(request: pytest.FixtureRequest) -> Project:
    """The project on SLURM, and on a classic LSF."""
    found: Project = request.getfixturevalue(request.param)
    return found


def put_fake_in_front(toy: Toy, command: str, body: str) -> Toy:
    """The project with a program of the test's in front of one of the scheduler's; ``$REAL`` is the real one."""
    folder = Path(tempfile.mkdtemp(prefix="fakes-", dir=toy.folder))
    real_program = shutil.which(command, path=toy.environment["PATH"]) or f"/nowhere/{command}"
    (folder / command).write_text(f"#!/bin/bash\nREAL={real_program}\n{body}\n")
    (folder / command).chmod(0o755)
    path = toy.environment["PATH"]
    return Toy(toy.folder, toy.root, {**toy.environment, "PATH": f"{folder}:{path}"})
