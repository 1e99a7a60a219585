"""A search of the toy project: trials that take no time, with learning curves that are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toyproject import Toy

from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import JobStates

CURVE_MODULE = '''
"""Jobs that train for so many epochs, pause where they are told to, and count every epoch that they train."""

import json
import time
from pathlib import Path

from seedfold.jobs.work import RunInterrupted, RunPaused
from toy.light import note


def run(work):
    """The score is best at x = 0.7, and grows with each epoch; x below 0.1 is an error."""
    config, state = work.config, work.folder / "epoch.txt"
    data = Path(config["paths"]["data"])
    epoch = int(state.read_text() or 0) if state.exists() else 0
    if config["x"] < 0.1:
        raise ValueError("x is too small")
    while epoch < config["epochs"]:
        if work.pause_after is not None and epoch >= work.pause_after:
            raise RunPaused(epoch, {"val/score": score(config, epoch)})
        if work.stop_requested():
            raise RunInterrupted(f"after {epoch} epochs")
        time.sleep(config["sleep_s"])
        epoch += 1
        note(data / "epochs.txt", f"{work.description.id}:{epoch}")
        state.write_text(str(epoch))
    metric = {"split": "val", "head": "main", "metric": "score", "value": score(config, epoch)}
    (work.staging / "metrics.json").write_text(json.dumps([metric]))


def score(config, epoch):
    return (1 - (config["x"] - 0.7) ** 2) * epoch / (epoch + 1) + 0.001 * config["seed"]
'''

HUNT_STUDY = """# @package _global_
run: toy.curve.run
study: hunt
x: 0.5
epochs: 9
sleep_s: 0.0
paths: {data: data}
resources: {cpus: 1, memory: 1GB, time: 5min}
matrix: {seed: [0]}
search:
  space: {x: {uniform: [0, 1]}}
  sampler: random
  trials: 6
  metric: val/score
  halving: {min: 1, max: 9, eta: 3}
  parallel: 2
  seed: 3
"""


STAGES_MODULE = '''
"""The stages beside the training: one that prepares, and one that judges what was trained."""

import json
from pathlib import Path

from toy.light import note


def prepare(work):
    note(Path(work.config["paths"]["data"]) / "prepared.txt", work.description.id)


def judge(work):
    """The score on new data."""
    note(Path(work.config["paths"]["data"]) / "judged.txt", work.description.id)
    metric = {"split": "test", "head": "main", "metric": "score", "value": 10 * work.config["x"]}
    (work.staging / "metrics.json").write_text(json.dumps([metric]))
'''
STAGES_STUDY = """# @package _global_
study: hunt
note: fine
x: 0.5
epochs: 9
sleep_s: 0.0
paths: {data: data}
resources: {cpus: 1, memory: 1GB, time: 5min}
stages:
  prepare: {run: toy.more.prepare, uses: [note]}
  train: {run: toy.curve.run, after: prepare, matrix: {seed: [0, 1]}}
  judge: {run: toy.more.judge, after: train, uses: [paths]}
search:
  space: {x: {uniform: [0.1, 1]}}
  sampler: random
  trials: 6
  metric: val/score
  stage: train
  halving: {min: 1, max: 9, eta: 3}
  parallel: 4
  seed: 3
"""


def add_hunt(toy: Toy, **changed: str) -> None:
    """Write the study ``hunt`` and its module; ``changed`` replaces lines by their keys."""
    _add(toy, HUNT_STUDY, changed)


def add_stages(toy: Toy, **changed: str) -> None:
    """Write the study ``hunt`` with three stages, as `add_hunt` does."""
    (toy.folder / "toy" / "more.py").write_text(STAGES_MODULE)
    _add(toy, STAGES_STUDY, changed)


def _add(toy: Toy, study: str, changed: Mapping[str, str]) -> None:
    lines = study.splitlines()
    for key, text in changed.items():
        place = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
        lines[place] = text
    (toy.folder / "toy" / "curve.py").write_text(CURVE_MODULE)
    toy.write_experiment("hunt", "\n".join(lines) + "\n")


def open_search(toy: Toy, study: str = "hunt") -> StudySearch:
    """The search as another process sees it."""
    ledger = Ledger(toy.study(study))
    assert ledger.plans.header is not None
    policies = RetryPolicies.parse(ledger.plans.header.settings["failures"])
    return StudySearch(JobStates(Root(toy.root), ledger, policies))


def trained_epochs(toy: Toy) -> list[str]:
    """Every epoch that was trained, ``JOB:EPOCH``, in the order of time."""
    file = toy.data / "epochs.txt"
    return file.read_text().split() if file.exists() else []


def search_of(toy: Toy, study: str = "hunt") -> Any:
    """The search as ``status --json`` shows it."""
    return toy.json_of("status", study)["search"]


def decision_files(toy: Toy, study: str = "hunt") -> list[Path]:
    """The decisions of a search, in their order."""
    return sorted(toy.study(study).decisions_folder.glob("*.json"))
