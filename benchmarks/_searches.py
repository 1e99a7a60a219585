"""One search by Seedfold, by Hydra's Optuna sweeper and by Ray Tune: the same trainings, counted in the same way.

A training only sleeps. How long an epoch takes depends on the point, and varies tenfold. Every epoch is noted with its
begin and its end, so that idle places can be counted without asking the tools.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks._projects import SEEDFOLD

TRAINING = '''
import json, os, time
from pathlib import Path


def seconds(x, y, shortest):
    """How long an epoch takes: from ``shortest`` to ten times that, whatever the value of the point."""
    return shortest * 10 ** ((x * 7919 + y * 104729) % 1)


def score(x, y, epoch):
    """What it reaches: best at x = 0.3, y = 0.6, and more with each epoch."""
    return 1 - (x - 0.3) ** 2 - (y - 0.6) ** 2 - 0.3 / epoch


def train(x, y, epoch, shortest, log):
    """Train one epoch, and note it in one line that other processes do not cut."""
    begin = time.time()
    time.sleep(seconds(x, y, shortest))
    line = json.dumps({"begin": begin, "end": time.time(), "x": x, "epoch": epoch, "score": score(x, y, epoch)})
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, (line + chr(10)).encode())
    os.close(handle)
    return score(x, y, epoch)
'''
JOB = """
import json

from seedfold.jobs.work import RunPaused
from training import score, train


def run(work):
    config, state = work.config, work.folder / "epoch.txt"
    epoch = int(state.read_text()) if state.exists() else 0
    while epoch < config["epochs"]:
        if work.pause_after is not None and epoch >= work.pause_after:
            raise RunPaused(epoch, {"val/score": score(config["x"], config["y"], epoch)})
        epoch += 1
        value = train(config["x"], config["y"], epoch, config["shortest"], config["paths"]["log"])
        state.write_text(str(epoch))
    metric = {"split": "val", "head": "main", "metric": "score", "value": value}
    (work.staging / "metrics.json").write_text(json.dumps([metric]))
"""
PROGRAM = """
import hydra
from training import train


@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg):
    for epoch in range(1, cfg.epochs + 1):
        value = train(cfg.x, cfg.y, epoch, cfg.shortest, cfg.log)
    return value


main()
"""
RAY = """
import sys

import ray
from ray import tune
from training import train

trials, slots, epochs, shortest, log, folder = sys.argv[1:]


def run(config):
    for epoch in range(1, int(epochs) + 1):
        tune.report({"score": train(config["x"], config["y"], epoch, float(shortest), log)})


ray.init(num_cpus=int(slots), include_dashboard=False, log_to_driver=False)
tune.Tuner(
    run,
    param_space={"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)},
    tune_config=tune.TuneConfig(
        metric="score",
        mode="max",
        num_samples=int(trials),
        scheduler=tune.schedulers.ASHAScheduler(max_t=int(epochs), grace_period=1, reduction_factor=3),
    ),
    run_config=tune.RunConfig(storage_path=folder, verbose=0),
).fit()
"""


@dataclass(frozen=True)
class Size:
    """How many trials there are, and how many at a time; how long the shortest epoch takes, in seconds."""

    trials: int
    slots: int
    shortest_s: float
    epochs: int = 9


@dataclass(frozen=True)
class Outcome:
    """The epochs of a search, each with its begin and end, in seconds, and the score after it."""

    epochs: Sequence[Mapping[str, float]]
    slots: int

    @property
    def duration_s(self) -> float:
        """From the first epoch to the end of the last one, in seconds."""
        return max(one["end"] for one in self.epochs) - min(one["begin"] for one in self.epochs)

    @property
    def idle_percent(self) -> float:
        """The share of the places that trained nothing while there were trials for all of them.

        That is from the moment when all places were taken for the first time, until the last trial was begun.
        """
        begins = self._begins()
        begin, end = begins[min(self.slots, len(begins)) - 1], begins[-1]
        busy = sum(max(0.0, min(one["end"], end) - max(one["begin"], begin)) for one in self.epochs)
        return 100 * (1 - busy / (self.slots * (end - begin)))

    def seconds_to(self, score: float) -> float:
        """When a score was reached, in seconds from the first epoch; the whole time if it never was."""
        reached = [one["end"] for one in self.epochs if one["score"] >= score]
        begin = min(one["begin"] for one in self.epochs)
        return min(reached) - begin if reached else self.duration_s

    def _begins(self) -> list[float]:
        """When each trial was begun, in order."""
        first: dict[float, float] = {}
        for one in self.epochs:
            first[one["x"]] = min(first.get(one["x"], one["begin"]), one["begin"])
        return sorted(first.values())


def has_modules(*names: str) -> bool:
    """Whether the peer is installed."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in names)
    except ModuleNotFoundError:
        return False


def search_with_seedfold(folder: Path, size: Size, halving: bool) -> Outcome:
    """Search with Seedfold on this machine."""
    _write(folder, {"training.py": TRAINING, "job.py": JOB})
    search: dict[str, object] = {
        "space": {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}},
        **{"trials": size.trials, "parallel": size.slots, "metric": "val/score", "seed": 1},
        **({"halving": {"min": 1, "max": size.epochs, "eta": 3}, "sampler": "random"} if halving else {}),
    }
    study = {
        **{"run": "job.run", "study": "search", "x": 0.5, "y": 0.5, "epochs": size.epochs, "shortest": size.shortest_s},
        **{"paths": {"log": str(folder / "epochs.jsonl")}, "matrix": {"seed": [0]}, "search": search},
    }
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "search.yaml").write_text("# @package _global_\n" + yaml.safe_dump(study))
    slots = f"cluster.slots={size.slots}"
    command = [str(SEEDFOLD), "launch", "--wait", "--config-dir", "conf", "experiment=search", slots]
    return _run(folder, size, command)


def search_with_optuna_sweeper(folder: Path, size: Size, launcher: str) -> Outcome:
    """Search with Hydra's Optuna sweeper and one of Hydra's launchers, in batches of as many trials as places."""
    config = {
        "defaults": ["_self_", {"override hydra/sweeper": "optuna"}, {"override hydra/launcher": launcher}],
        **{"x": 0.5, "y": 0.5, "epochs": size.epochs, "shortest": size.shortest_s, "log": str(folder / "epochs.jsonl")},
        "hydra": {
            "sweeper": {
                **{"n_trials": size.trials, "n_jobs": size.slots, "direction": "maximize", "sampler": {"seed": 1}},
                "params": {"x": "interval(0,1)", "y": "interval(0,1)"},
            },
            "launcher": {"n_jobs": size.slots} if launcher == "joblib" else {},
        },
    }
    _write(folder, {"training.py": TRAINING, "program.py": PROGRAM, "config.yaml": yaml.safe_dump(config)})
    return _run(folder, size, [sys.executable, "program.py", "--multirun"])


def search_with_ray(folder: Path, size: Size) -> Outcome:
    """Search with Ray Tune's ASHA, which stops trials for good."""
    _write(folder, {"training.py": TRAINING, "tuned.py": RAY})
    arguments = (size.trials, size.slots, size.epochs, size.shortest_s, folder / "epochs.jsonl", folder / "ray")
    return _run(folder, size, [sys.executable, "tuned.py", *map(str, arguments)])


def _write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def _run(folder: Path, size: Size, command: Sequence[str]) -> Outcome:
    """Run a search, without settings of whoever runs it, and read what it trained."""
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environment = {
        **os.environ,
        **{"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder), "PYTHONPATH": paths},
    }
    quiet = subprocess.DEVNULL
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=quiet, stderr=quiet)
    lines = (folder / "epochs.jsonl").read_text().splitlines()
    return Outcome([json.loads(line) for line in lines], size.slots)
