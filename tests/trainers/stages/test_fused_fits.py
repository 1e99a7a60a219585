"""Jobs that are trained together: what they leave is what they would leave alone, up to the last bits of sums."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seedfold.jobs.work import NonFiniteFailure, RunInterrupted, Work
from seedfold.trainers.fused import replica as fused_replica
from seedfold.trainers.learning.checkpoint_files import load_checkpoint
from seedfold.trainers.stages import fit_predict
from seedfold.trainers.stages.fused_fits import fit_together

Compose = Callable[..., dict[str, Any]]
MakeWork = Callable[..., Work]

TOLERANCE = 1e-4
"""How much losses and logits may differ, relative to their size: the promise of docs/how-to/fuse.md."""
TABLE = ("experiment=breast_cancer", "model=mlp", "trainer.batch_size=64", "trainer.max_epochs=4")
IMAGES = ("experiment=digits", "trainer.max_epochs=2", "loss.class_weights=null")
STUDIES = {
    # Early stopping ends some sooner than others; AdamW, clipping and weights differ from job to job.
    "table": (
        *TABLE,
        "optimizer=adamw",
        "trainer.clip=1.0",
        "trainer.early_stopping.patience=1",
        "trainer.early_stopping.min_delta=0.04",
        "trainer.max_epochs=8",
    ),
    "images": (*IMAGES, "model=small_cnn", "+model.channels=[4,8]"),
    # Batches of other sizes than those of the others would change the means of its batch normalisation.
    "normalised": (*IMAGES, "model=pooled_cnn", "+model.channels=[4,8]", "optimizer=sgd", "sampling=balanced"),
}
OF_JOB = (
    ("seed=1", "fold=0", "optimizer.lr=1e-2"),
    ("seed=2", "fold=1", "optimizer.lr=3e-3", "loss.function.label_smoothing=0.1"),
    ("seed=3", "fold=2", "optimizer.lr=1e-3", "optimizer.weight_decay=0.1", "sampling.imbalance_ratio=1.3"),
)


def make_works(compose: Compose, work: MakeWork, name: str, study: Sequence[str], **parts: Any) -> list[Work]:
    overrides = [of_job if "normalised" not in name else of_job[:2] for of_job in OF_JOB]
    return [work(compose(*study, *own), f"{name}{number}", **parts) for number, own in enumerate(overrides)]


def history(work: Work) -> list[list[float]]:
    with (work.staging / "epochs.csv").open() as file:
        return [[float(value) for value in row] for row in list(csv.reader(file))[1:]]


def logits(work: Work) -> np.ndarray[Any, Any]:
    frame = pd.read_parquet(work.staging / "predictions.test.parquet")
    return frame.filter(like="logit_").to_numpy()


def assert_agree(alone: Work, fused: Work) -> None:
    np.testing.assert_allclose(history(fused), history(alone), rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(logits(fused), logits(alone), rtol=TOLERANCE, atol=TOLERANCE)
    states = [load_checkpoint(work.folder / "last.ckpt") for work in (alone, fused)]
    assert torch.equal(*(state["random"]["torch"] for state in states))
    for key in ("should_stop", "finished", "made_with", "random_of_others"):
        assert states[0][key] == states[1][key], key
    epochs = [[schedule["last_epoch"] for schedule in state["schedules"]] for state in states]
    assert epochs[0] == epochs[1]
    kept = [state["optimizers"][0] for state in states]
    assert kept[0]["param_groups"] == kept[1]["param_groups"]
    assert [sorted(each) for each in kept[0]["state"].values()] == [sorted(each) for each in kept[1]["state"].values()]
    sizes = [(work.folder / "last.ckpt").stat().st_size for work in (alone, fused)]
    assert abs(sizes[0] - sizes[1]) < 2000, "the state holds the weights of others"


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_what_is_trained_together_agrees_with_what_is_trained_alone(
    study: str, compose: Compose, work: MakeWork
) -> None:
    alone = make_works(compose, work, f"alone {study}", STUDIES[study])
    fused = make_works(compose, work, f"fused {study}", STUDIES[study])
    assert fit_together(fused, measured=False).note == "3 jobs were trained together"
    assert json.loads((fused[0].folder / "fused.json").read_text()) == {"jobs": 3}
    for one, other in zip(alone, fused, strict=True):
        fit_predict.run(one)
        fit_predict.run(other)
        assert_agree(one, other)
    if study == "table":
        assert len({len(history(one)) for one in fused}) > 1, "all of them stopped at the same time"


def test_one_that_fails_takes_no_other_along(compose: Compose, work: MakeWork) -> None:
    good = [work(compose(*TABLE, f"seed={seed}"), f"good{seed}") for seed in range(2)]
    bad = work(compose(*TABLE, "optimizer.lr=1e30"), "bad")
    fit_together([good[0], bad, good[1]], measured=False)
    assert [(one.folder / "fit.json").exists() for one in (*good, bad)] == [True, True, False]
    with pytest.raises(NonFiniteFailure, match="training loss became nan in epoch 0"):
        fit_predict.run(bad)


class Killed(BaseException):
    """Ends a training at once, as a kill does: nothing is saved."""


class EndAt:
    """Ends the training at the n-th step: asked to stop, or killed."""

    def __init__(self, steps: int, kill: bool) -> None:
        self.left, self._kill = steps, kill

    def __call__(self) -> bool:
        self.left -= 1
        if self.left < 0 and self._kill:
            raise Killed
        return self.left < 0


@pytest.mark.slow
@pytest.mark.parametrize("goes_on", ["alone", "fused"])
def test_what_was_killed_and_stopped_goes_on_either_way(
    goes_on: str, compose: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_replica, "SAVE_EVERY_S", 0.0)
    whole = make_works(compose, work, "whole", TABLE)
    for one in whole:
        fit_predict.run(one)

    def together(stop: Callable[[], bool]) -> None:
        fit_together(make_works(compose, work, "cut", TABLE, stop_requested=stop), measured=False)

    steps = len(history(whole[0])) * 2
    with pytest.raises(Killed):
        together(EndAt(steps + 1, kill=True))
    with pytest.raises(RunInterrupted):
        together(EndAt(1, kill=False))
    last = make_works(compose, work, "cut", TABLE)
    if goes_on == "fused":
        assert "together" in fit_together(last, measured=False).note
    for one, other in zip(whole, last, strict=True):
        assert not (goes_on == "alone" and (other.folder / "fit.json").exists())
        fit_predict.run(other)
        assert_agree(one, other)


class OwnDropout(nn.Module):
    """Draws in a function, where nobody can give it a stream of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(30, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.dropout(self.layer(inputs), 0.5, self.training)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("trainer.accumulate=2", "trainer.accumulate: 2 is not known"),
        ("checkpoint.keep=all", "checkpoint.keep: all keeps a state of each epoch"),
        (f"model._target_={__name__}.OwnDropout", "model: RuntimeError"),
        ("optimizer._target_=torch.optim.RMSprop", "optimizer: RMSprop is not one of Adam, AdamW, SGD"),
    ],
)
def test_what_cannot_be_trained_together_is_told_and_left(
    override: str, reason: str, compose: Compose, work: MakeWork
) -> None:
    configs = [compose(*TABLE, override, f"seed={seed}") for seed in range(2)]
    for config in configs:
        if "OwnDropout" in override:
            config["model"] = {"_target_": config["model"]["_target_"]}
        if "RMSprop" in override:
            config["optimizer"] = {"_target_": "torch.optim.RMSprop", "_partial_": True}
    found = fit_together([work(config, f"fit{seed}") for seed, config in enumerate(configs)], measured=False)
    assert found.note.startswith(f"each job trains alone: {reason}")
    assert not found.again


def test_what_is_measured_decides_and_is_recorded(
    compose: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seedfold.trainers.stages import fused_fits

    monkeypatch.setattr(fused_fits, "measure", lambda replicas: (1.0, 2.0))
    works = make_works(compose, work, "slow", TABLE)
    slow = fit_together(works, measured=True)
    assert "an epoch of 3 jobs takes 2 s together, 1 s one by one" in slow.note
    assert not any((one.folder / "fused.json").exists() for one in works)
    monkeypatch.undo()
    works = make_works(compose, work, "fast", (*TABLE, "trainer.max_epochs=1"))
    if "together" in fit_together(works, measured=True).note and (works[0].folder / "fit.json").exists():
        assert json.loads((works[0].folder / "fused.json").read_text())["epoch_alone_s"] > 0


def test_what_each_replica_wrote_is_in_its_own_folder(compose: Compose, work: MakeWork, tmp_path: Path) -> None:
    fused = make_works(compose, work, "own", (*TABLE, "trainer.max_epochs=1"))
    fit_together(fused, measured=False)
    for one in fused:
        names = {path.name for path in one.folder.iterdir()}
        assert names == {"best-000000.ckpt", "last.ckpt", "fit.json", "fused.json", "scaling.npz"}
