"""A LightningModule that trains itself, in a study: its metrics, predictions and checkpoints, and what is refused."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_server import training_command, training_python
from lightning_program import MODULES
from toyproject import Toy, make_toy

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import ConfigFailure, Work

STUDY = """# @package _global_
defaults:
  - override /model: own
  - override /data: own
  - _self_
trainer: {max_epochs: 4, monitor: val_acc, callbacks: {killer: {_target_: nets.Killer}}}
matrix: {fold: "range(0,3)"}
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Toy]:
    toy = make_toy(tmp_path)
    conf = toy.folder / "conf"
    (toy.folder / "nets.py").write_text(MODULES)
    for name, text in {
        "experiment/own": STUDY,
        "model/own": "{_target_: nets.Net, lr: 0.1}",
        "data/own": '{_target_: nets.Data, fold: "${fold}"}',
    }.items():
        (conf / f"{name}.yaml").parent.mkdir(exist_ok=True)
        (conf / f"{name}.yaml").write_text(text)
    yield toy
    toy.kill_workers()


def results_of(project: Toy) -> dict[int, tuple[Path, Any]]:
    files = project.study("own").path.glob("store/*/*/result.json")
    records = {file.parent: json.loads(file.read_text()) for file in files}
    return {record["axes"]["fold"]: (folder, record) for folder, record in records.items()}


def check_that_the_best_model_is_loaded(project: Toy) -> None:
    code = """
import seedfold as sf, torch
job = sf.study("own").job(fold=1)
model = job.model()
best = torch.load(job.checkpoint("best"), weights_only=True)["state_dict"]
print(not model.training and all(value.equal(best[name]) for name, value in model.state_dict().items()))
"""
    environment = {**project.environment, "PYTHONPATH": str(project.folder)}
    command = [training_python(), "-c", code]
    told = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert told.stdout == "True\n", told.stderr


@pytest.mark.slow
def test_a_study_of_a_module_with_its_own_training_goes_on_after_a_kill(project: Toy) -> None:
    words = ("launch", "--wait", "--config-dir", "conf", "experiment=own", "logger=tensorboard")
    assert project.run(*words, program=training_command(), KILL_IN_EPOCH="2").returncode == 1
    assert project.states("own") == {"failed": 3}
    project.trained_output_of("resume", "own", "--wait")
    for folder, record in results_of(project).values():
        rows = list(csv.DictReader((folder / "epochs.csv").open(newline="")))
        assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
        names = {one["metric"] for one in record["metrics"]}
        assert {"val_acc", "val_acc_best", "val_loss", "train_loss", "test_acc", "accuracy"} <= names
    boards = [file.parent.name for file in project.study("own").path.glob("jobs/*/*/logs/*/hparams.yaml")]
    assert sorted(boards) == ["fold=0", "fold=1", "fold=2"]
    told = project.output_of("results", "own", "oof")
    assert "True" in told
    assert "samples=48, folds=3" in told
    shown = json.loads(project.output_of("show", "--study", "own", "fold=1", "--json"))
    assert [Path(path).name for path in shown["checkpoints"].values()] == ["best.ckpt", "last.ckpt"]
    assert (Path(shown["outputs"]) / "hparams.json").exists()
    check_that_the_best_model_is_loaded(project)
    kept = sorted(file.name for file in project.study("own").path.glob("jobs/*/*/run/checkpoints/*"))
    assert kept == ["best.ckpt"] * 3 + ["last.ckpt"] * 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("loss=cross_entropy",), "loss: is not used where a LightningModule trains itself"),
        (("optimizer=adam",), "optimizer: is not used where a LightningModule trains itself"),
        (("task=digits",), "task: is not used where a LightningModule trains itself"),
        (("~data",), "model: nets.Net is a LightningModule that trains itself: give its loaders as data"),
        (("model=mlp", "task=digits", "~data", "task.source._target_=nets.Data"), "task.source: nets.Data is a Lightn"),
    ],
)
def test_what_would_not_be_used_is_refused_at_plan(project: Toy, overrides: tuple[str, ...], message: str) -> None:
    refused = project.run_in_process("plan", "--config-dir", "conf", "experiment=own", *overrides)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def make_work(folder: Path, **config: Any) -> Work:
    job = JobDescription("a" * 64, "s", "train", {}, {"seed": 0, **config}, (), Resources(), "toy")
    return Work(job, 1, folder / "fit", folder / "staging")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"max_epoch": 3}, "trainer.max_epoch: Lightning's Trainer has no such argument"),
        ({"logger": False}, "trainer.logger: choose a logger with the group logger"),
        ({"num_nodes": 2}, "trainer.num_nodes: a job runs on one node"),
        ({"accelerator": "auto"}, "trainer.accelerator: 'auto' is not one of cpu"),
        ({"devices": -1}, "trainer.devices: -1 is not a number of devices"),
    ],
)
def test_arguments_that_a_trainer_does_not_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: dict[str, Any], message: str
) -> None:
    from seedfold.trainers.stages import lightning

    monkeypatch.chdir(tmp_path)
    model = {"_target_": "pytorch_lightning.demos.boring_classes.BoringModel"}
    with pytest.raises(ConfigFailure, match=message):
        lightning.run(make_work(tmp_path, model=model, trainer=trainer))


@pytest.mark.slow
def test_a_gpu_is_asked_for_by_the_trainer_as_well(tmp_path: Path) -> None:
    from seedfold.trainers.stages import lightning

    work = make_work(tmp_path)
    work = replace(work, description=replace(work.description, resources=Resources(gpus=1)))
    with pytest.raises(ConfigFailure, match=r"trainer\.accelerator: the job asks for GPUs"):
        lightning.run(work)
    with pytest.raises(ConfigFailure, match="predict: a LightningModule predicts by its own predict_step"):
        lightning.run(make_work(tmp_path, predict={"tta": 4}))


@pytest.mark.slow
def test_a_module_with_its_own_training_is_refused_by_our_trainer() -> None:
    from pytorch_lightning.demos.boring_classes import BoringModel

    from seedfold.trainers.data.source_reader import read_source
    from seedfold.trainers.learning.training import refuse_own_training

    class Own(BoringModel):
        def training_step(self, batch: Any, number: int) -> Any:
            return super().training_step(batch, number)

    with pytest.raises(ConfigFailure, match="model: Own has its own training_step"):
        refuse_own_training(Own())
    node = {"_target_": "pytorch_lightning.demos.boring_classes.BoringDataModule"}
    with pytest.raises(ConfigFailure, match=r"task\.source \(BoringDataModule\): has no function load"):
        read_source(node, "task.source", 2, lambda path: None)


@pytest.mark.slow
def test_samples_without_a_name_have_their_number_in_the_whole_data_set() -> None:
    from torch.utils.data import Subset

    from seedfold.trainers.learning.lightning_predictions import _number_in_whole

    whole = [*np.arange(10)]
    inner = Subset(whole, [9, 7, 5, 3])
    assert [_number_in_whole(Subset(inner, [2, 0]), place) for place in range(2)] == [5, 9]
    assert _number_in_whole(whole, 4) == 4
