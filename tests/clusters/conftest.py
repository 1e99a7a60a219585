"""A small project whose studies run on the cluster, and schedulers that misbehave."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from clusters.slurm.cluster import Cluster
from toyproject import Toy, eventually, make_toy

from seedfold.orchestrator.failures import Policies
from seedfold.orchestrator.layout import Root
from seedfold.orchestrator.ledger import Ledger
from seedfold.orchestrator.standing import Standings
from seedfold.orchestrator.submissions import Submission

JOBS = 6
"""Number of jobs of the study ``light``."""


@dataclass(frozen=True)
class Project:
    """The toy project on a cluster."""

    toy: Toy
    slurm: Cluster

    def launch(self, *args: str, experiment: str = "light") -> str:
        """``seedfold launch cluster=slurm``, which has to succeed; what it printed."""
        return self.toy.ok("launch", *arguments(experiment, *args))

    def ledger(self, study: str = "light") -> Ledger:
        """What is known of a study."""
        return Ledger(self.toy.study(study))

    def states(self, study: str = "light") -> dict[str, int]:
        """How many jobs stand how, from what is on disk: nobody asks the scheduler, nothing is moved on."""
        ledger = self.ledger(study)
        header = ledger.plans.header
        assert header is not None
        standings = Standings(Root(self.toy.root), ledger, Policies.parse(header.settings["failures"]))
        return dict(Counter(standings.of(job.id).state for job in ledger.plans.current.values()))

    def wait(self, study: str = "light", seconds: float = 60, **states: int) -> None:
        """Wait until exactly so many jobs stand so, and ask nothing of the scheduler meanwhile."""
        eventually(lambda: self.states(study) == states, seconds, lambda: self.situation(study))

    def situation(self, study: str = "light") -> str:
        """What is known of a study, for whoever asks why a test failed."""
        events = (path.read_text() for path in sorted(self.toy.study(study).path.glob("events/*.jsonl")))
        return "\n".join([str(self.states(study)), str(self.job_states()), *events])

    def wait_with_status(self, study: str = "light", seconds: float = 60, **states: int) -> None:
        """As `wait`, while somebody looks at the status, which moves things on."""
        eventually(lambda: self.toy.states(study) == states, seconds)

    def submissions(self, study: str = "light") -> list[Submission]:
        """All that were ever made, the oldest first."""
        folders = self.toy.study(study).submissions.iterdir()
        return sorted((Submission.read(folder) for folder in folders), key=lambda one: one.created)

    def number(self, study: str = "light") -> str:
        """The scheduler's number of the first array."""
        number = self.submissions(study)[0].scheduler_id()
        assert number is not None
        return number

    def job_states(self) -> dict[str, str]:
        """What the scheduler says of every task and keeper of this project, by its number."""
        names = {name for study in Root(self.toy.root).studies() for name in self._names(study.name)}
        listed = self.slurm.run("squeue", "-h", "-r", "-t", "all", "-o", "%i|%j|%T").splitlines()
        rows = (line.split("|") for line in listed)
        return {number: state for number, name, state in rows if name in names}

    def _names(self, study: str) -> Iterator[str]:
        for submission in self.submissions(study):
            assert submission.array is not None
            yield f"{study}.{submission.array.stage}.{submission.token}"
            yield f"{study}.keeper.{submission.token}"

    def settle(self) -> None:
        """Wait until the scheduler has nothing of this project left."""
        eventually(lambda: not unended(self.job_states()))

    def clear(self) -> None:
        """Cancel what is left."""
        if self.toy.root.exists():
            left = unended(self.job_states())
            if left:
                self.slurm.run("scancel", *left)

    def each_once(self, jobs: int = JOBS) -> bool:
        """Whether so many jobs ran, each of them once."""
        return list(self.toy.executions().values()) == [1] * jobs

    def is_at_rest(self, study: str = "light") -> bool:
        """Whether nothing is to be done any more."""
        return self.toy.ok("advance", study) == f"{study}: nothing to do\n"


def unended(states: dict[str, str]) -> list[str]:
    """Those that are queued or at work."""
    return [job for job, state in states.items() if state in {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}]


def arguments(experiment: str, *args: str) -> list[str]:
    """What `plan` and `launch` are called with."""
    return ["--config-dir", "conf", f"experiment={experiment}", "cluster=slurm", *args]


def project_on(slurm: Cluster, folder: Path) -> Project:
    """Write the project into ``folder``; what its jobs are called is known to no one else."""
    toy = make_toy(folder)
    environment = {name: value for name, value in slurm.environment.items() if name in {"SLURM_CONF"}}
    return Project(Toy(toy.folder, toy.root, {**toy.environment, **environment}), slurm)


@pytest.fixture
def project(slurm: Cluster, tmp_path: Path) -> Iterator[Project]:
    """The project on the cluster that everybody shares; what it left there is cancelled at the end."""
    project = project_on(slurm, tmp_path / "project")
    yield project
    project.clear()


@pytest.fixture
def project_alone(slurm_alone: Cluster, tmp_path: Path) -> Iterator[Project]:
    """The project on a cluster of its own."""
    project = project_on(slurm_alone, tmp_path / "project")
    yield project
    project.clear()


def with_fake(toy: Toy, command: str, body: str) -> Toy:
    """The project with a program of the test's in front of one of SLURM's; ``$REAL`` is the real one."""
    folder = Path(tempfile.mkdtemp(prefix="fakes-", dir=toy.folder))
    real = shutil.which(command) or f"/nowhere/{command}"
    (folder / command).write_text(f"#!/bin/bash\nREAL={real}\n{body}\n")
    (folder / command).chmod(0o755)
    path = toy.environment["PATH"]
    return Toy(toy.folder, toy.root, {**toy.environment, "PATH": f"{folder}:{path}"})
