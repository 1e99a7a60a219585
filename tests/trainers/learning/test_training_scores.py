"""Training samples that are scored beside validation after each epoch."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from seedfold.jobs.work import ConfigFailure, Work
from seedfold.trainers.data.job_data import load_data
from seedfold.trainers.learning.training import draw_scored_rows
from seedfold.trainers.stages import fit_predict

Compose = Callable[..., dict[str, Any]]
MakeWork = Callable[..., Work]
QUICK = ("experiment=breast_cancer", "trainer.max_epochs=3", "trainer.metrics=[accuracy,auroc]")
SCORED = ("train/eval_loss", "train/accuracy", "train/auroc")


def epochs(job: Work) -> list[dict[str, str]]:
    with (job.staging / "epochs.csv").open() as file:
        return list(csv.DictReader(file))


def train_records(job: Work) -> dict[str, float]:
    records = json.loads((job.staging / "metrics.json").read_text())
    assert {each["split"] for each in records} == {"train"}
    return {each["metric"]: each["value"] for each in records}


def test_scoring_training_samples_changes_nothing_else(compose: Compose, work: MakeWork) -> None:
    plain, scored = work(compose(*QUICK), "plain"), work(compose(*QUICK, "trainer.train_metrics=1000"), "scored")
    for job in (plain, scored):
        fit_predict.run(job)
    rows = epochs(scored)
    assert [name for name in rows[0] if name not in epochs(plain)[0]] == list(SCORED)
    assert [{name: row[name] for name in row if name not in SCORED} for row in rows] == epochs(plain)
    files = [job.staging / "predictions.test.parquet" for job in (plain, scored)]
    assert pd.read_parquet(files[0]).equals(pd.read_parquet(files[1]))
    assert not (plain.staging / "metrics.json").exists()
    best = json.loads((scored.folder / "fit.json").read_text())["best"]["epoch"]
    found = train_records(scored)
    assert found == {name.removeprefix("train/"): float(rows[best][name]) for name in SCORED}


def test_they_are_scored_without_augmentation_and_without_dropout(
    compose: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(*QUICK, "trainer.max_epochs=1", "trainer.train_metrics=50", "model.dropout=0.5")
    networks: list[nn.Module] = []
    build = fit_predict.training.make_seeded_network

    def remember(given: Any) -> Any:
        networks.append(build(given))
        return networks[-1]

    monkeypatch.setattr(fit_predict.training, "make_seeded_network", remember)
    job = work(config)
    fit_predict.run(job)
    train = load_data(config, lambda path: None).train
    rows = draw_scored_rows(len(train), 50, config["seed"])
    assert len(rows) == 50
    assert sorted(set(rows.tolist())) == rows.tolist()
    with torch.no_grad():
        logits = networks[0].eval()(torch.from_numpy(np.asarray(train.inputs)[rows]))
    targets = torch.from_numpy(train.targets[rows])
    assert float(epochs(job)[0]["train/eval_loss"]) == pytest.approx(
        float(nn.functional.cross_entropy(logits, targets)), rel=1e-5
    )
    right = float((logits.argmax(1) == targets).float().mean())
    assert train_records(job)["accuracy"] == pytest.approx(right)


def test_an_estimator_is_scored_on_its_training_samples(compose: Compose, work: MakeWork) -> None:
    config = compose(*QUICK, "model=random_forest", "model.n_estimators=20", "trainer.train_metrics=100000")
    job = work(config)
    fit_predict.run(job)
    found = train_records(job)
    assert found["auroc"] > 0.95
    assert 0 < found["log_loss"] < 0.5


def test_networks_for_masks_refuse_it(compose: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch) -> None:
    from seedfold.trainers.learning import training

    config = compose(*QUICK, "trainer.train_metrics=10", "trainer.metrics=[dice]")
    data = load_data(config, lambda path: None)
    object.__setattr__(data.train, "masks", data.train.inputs)
    with pytest.raises(ConfigFailure, match=r"trainer\.train_metrics: networks that learn masks"):
        training.fit(work(config), nn.Identity(), data)
