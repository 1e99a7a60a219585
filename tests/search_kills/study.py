"""The search that is killed, of three stages, and how its commands are run. Its jobs note every epoch."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from faults.forked import become_command
from toyproject import Toy, make_toy

from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import JobStates

STUDY = "hunted"
TRAINED = "train"
"""The stage that is trained; there is one before it, which all trials have, and one after it."""
EPOCHS = 9
ETA = 3
MODULE = '''
"""Jobs that train for so many epochs, pause where they are told to, and note who trained each epoch, and when."""

import json
import os
import time
from pathlib import Path

from seedfold.jobs.work import RunInterrupted, RunPaused
from toy.light import note


def run(work):
    """Train from where the last attempt came."""
    config, state = work.config, work.folder / "epoch.txt"
    epoch = int((state.read_text() if state.exists() else "") or 0)
    while epoch < config["epochs"]:
        if work.pause_after is not None and epoch >= work.pause_after:
            raise RunPaused(epoch, {"val/score": score(config["x"], epoch)})
        if work.stop_requested():
            raise RunInterrupted(f"after {epoch} epochs")
        began = time.time()
        time.sleep(config["sleep_s"])
        epoch += 1
        found = {"job": work.description.id, "epoch": epoch, "pid": os.getpid(), "began": began, "ended": time.time()}
        note(Path(config["paths"]["data"]) / "epochs.jsonl", json.dumps(found))
        written = state.with_name("epoch.new")
        written.write_text(str(epoch))
        written.replace(state)
    metric = {"split": "val", "head": "main", "metric": "score", "value": score(config["x"], epoch)}
    (work.staging / "metrics.json").write_text(json.dumps([metric]))


def stand_beside(work):
    """Do nothing: a stage that all trials have before the training, or that each has after it."""


def score(x, epoch):
    """Best at x = 0.7, and more with each epoch."""
    return (1 - (x - 0.7) ** 2) * epoch / (epoch + 1)
'''


def score(x: float, epochs: int) -> float:
    """What a job of the search has after so many epochs."""
    return (1 - (x - 0.7) ** 2) * epochs / (epochs + 1)


@dataclass(frozen=True)
class Project:
    """A project with one search, which runs where ``overrides`` say, with ``variables`` in the environment."""

    toy: Toy
    trials: int
    parallel: int
    overrides: tuple[str, ...]
    variables: dict[str, str]

    @property
    def launch(self) -> tuple[str, ...]:
        """The command that begins it, and goes on with it."""
        return "launch", "--detach", "--config-dir", "conf", f"experiment={STUDY}", *self.overrides

    @property
    def environment(self) -> dict[str, str]:
        """What is in the environment of everything that belongs to it; see `faults.processes`."""
        own = {"DRILL": str(self.toy.folder), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return {**self.toy.environment, **self.variables, **own}

    def notes(self) -> list[str]:
        """The lines that jobs have written, one for each epoch."""
        file = self.toy.data / "epochs.jsonl"
        return file.read_text().splitlines() if file.exists() else []

    def search(self) -> StudySearch:
        """The search as another process sees it."""
        ledger = Ledger(self.toy.study(STUDY))
        assert ledger.plans.header is not None
        from seedfold.orchestrator.ledger.layout import Root

        policies = RetryPolicies.parse(ledger.plans.header.settings["failures"])
        return StudySearch(JobStates(Root(self.toy.root), ledger, policies))

    def start(self, *args: str) -> Command:
        """Start a command, and do not wait for it."""
        folder = self.toy.folder / "commands"
        folder.mkdir(exist_ok=True)
        output = folder / f"{len(list(folder.iterdir())):04d}-{args[0]}.txt"
        output.touch()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _run_command(self, args, output)
        return Command(args, pid, output)


@dataclass(frozen=True)
class Command:
    """A command that was started."""

    args: tuple[str, ...]
    pid: int
    output: Path

    def has_ended(self) -> bool:
        """Whether it has ended; to be asked until it has."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)


def write_project(
    folder: Path, trials: int, parallel: int, sleep_s: float, overrides: Sequence[str], variables: dict[str, str]
) -> Project:
    """Write the project into ``folder``."""
    toy = make_toy(folder)
    study = {
        **{"study": STUDY, "x": 0.5, "epochs": EPOCHS, "sleep_s": sleep_s},
        **{"paths": {"data": "data"}, "resources": {"cpus": 1, "memory": "200MB", "time": "10min"}},
        "stages": {
            "prepare": {"run": "toy.hunted.stand_beside", "uses": ["paths"]},
            TRAINED: {"run": "toy.hunted.run", "after": "prepare", "matrix": {"seed": [0]}},
            "judge": {"run": "toy.hunted.stand_beside", "after": TRAINED, "uses": ["paths"]},
        },
        "search": {
            **{
                "stage": TRAINED,
                "space": {"x": {"uniform": [0, 1]}},
                "sampler": "random",
                "metric": "val/score",
                "seed": 5,
            },
            **{"trials": trials, "parallel": parallel, "halving": {"min": 1, "max": EPOCHS, "eta": ETA}},
        },
    }
    (toy.folder / "toy" / "hunted.py").write_text(MODULE)
    toy.write_experiment(STUDY, "# @package _global_\n" + yaml.safe_dump(study))
    return Project(toy, trials, parallel, tuple(overrides), variables)


def _run_command(project: Project, args: tuple[str, ...], output: Path) -> None:
    """Be the process of a command; it never returns."""

    def prepare() -> None:
        os.environ.update(project.environment)
        os.chdir(project.toy.folder)

    def run() -> None:
        from seedfold.orchestrator.cli.group import cli

        cli(list(args))

    become_command(output, output, prepare, run)
