from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from seedfold.jobs.work import (
    MICRO_BATCH_HALVINGS,
    ConfigFailure,
    NonFiniteFailure,
    RunInterrupted,
    RunPaused,
    Work,
)
from seedfold.results.store.metrics import auroc
from seedfold.results.store.thumbnails import read_thumbnails
from seedfold.trainers.data.file_inputs import FileInputs
from seedfold.trainers.data.job_data import load_data
from seedfold.trainers.data.samples import UNKNOWN, Samples
from seedfold.trainers.stages import fit_predict

Compose = Callable[..., dict[str, Any]]
MakeWork = Callable[..., Work]
Results = Callable[[Work], dict[str, bytes]]

QUICK = ("experiment=breast_cancer", "trainer.max_epochs=3", "trainer.batch_size=32")


def predictions(work: Work, split: str) -> pd.DataFrame:
    return pd.read_parquet(work.staging / f"predictions.{split}.parquet")


def accuracy(frame: pd.DataFrame) -> float:
    logits = frame.filter(like="logit_").to_numpy()
    return float((logits.argmax(axis=1) == frame["target"]).mean())


class TwoHeads(nn.Module):
    """An early and a late head over one trunk, the early one with a single logit."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.early, self.late = nn.Linear(30, 8), nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        features = self.trunk(inputs).relu()
        return {"early": self.early(features), "late": self.late(features)}


class StopAfter:
    """Asks to stop at the n-th question."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_digits_are_learnt_and_every_sample_is_predicted_once(compose: Compose, work: MakeWork) -> None:
    reads: list[Path] = []
    config = compose("experiment=digits", "trainer.max_epochs=5", "fold=2")
    job = work(config, reads=reads.append)
    fit_predict.run(job)
    assert [path.name for path in reads] == ["digits.csv.gz"]
    val, test = predictions(job, "val"), predictions(job, "test")
    assert accuracy(test) > 0.9
    assert len(val) == 479
    assert len(test) == 360
    assert set(val["sample_id"]).isdisjoint(test["sample_id"])
    data = load_data(config, lambda path: None)
    assert val["sample_id"].tolist() == list(data.evaluation_splits["val"].ids)
    assert set(val["sample_id"]).isdisjoint(data.train.ids)
    pictures = read_thumbnails(job.staging, "test")
    logits, targets = test.filter(like="logit_").to_numpy(), test["target"].to_numpy()
    error = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(targets)), targets]
    assert set(pictures) == set(test["sample_id"].to_numpy()[np.argsort(-error)[:100]]), "those of the worst"


def test_inputs_that_are_no_images_have_no_thumbnails(compose: Compose, work: MakeWork) -> None:
    job = work(compose(*QUICK, "predict.thumbnails=5"))
    fit_predict.run(job)
    assert read_thumbnails(job.staging, "test") == {}
    with pytest.raises(ConfigFailure, match=r"predict\.thumbnails: -1"):
        fit_predict.run(work(compose(*QUICK, "predict.thumbnails=-1")))


def test_of_volumes_that_stay_in_files_the_worst_are_read_one_by_one(compose: Compose, work: MakeWork) -> None:
    job, read = work(compose(*QUICK)), list[int]()

    def read_volume(row: int, into: np.ndarray) -> None:
        read.append(row)
        into[...] = row

    volumes = FileInputs(read_volume, (2, 4, 5, 6), np.uint8, np.arange(9), 1)
    samples = Samples(tuple(f"case{row}" for row in range(9)), volumes, np.array([0] * 8 + [UNKNOWN]))
    logits = {"main": np.stack([np.zeros(9), np.arange(9)], axis=1).astype(np.float32)}
    fit_predict._write_split(job, "val", samples, logits)
    fit_predict._write_thumbnails(job, "val", samples, 3)
    assert list(read_thumbnails(job.staging, "val")) == ["case7", "case6", "case5"], "no target of case8 is known"
    assert read == [7, 6, 5]


def test_the_history_has_a_row_an_epoch(compose: Compose, work: MakeWork) -> None:
    job = work(compose(*QUICK))
    fit_predict.run(job)
    with (job.staging / "epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "lr", "train/loss", "val/loss", "val/accuracy", "val/auroc"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    losses = [float(row["train/loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)


def test_recorded_metrics_are_those_of_the_predictions(compose: Compose, work: MakeWork) -> None:
    job = work(compose(*QUICK, "predict.weights=last"))
    fit_predict.run(job)
    val = predictions(job, "val")
    log_p = torch.tensor(val[["logit_0", "logit_1"]].to_numpy()).log_softmax(1)
    loss = -log_p[range(len(val)), val["target"].tolist()].mean()
    last = json.loads((job.folder / "fit.json").read_text())["history"][-1]
    assert last["val/loss"] == pytest.approx(float(loss), rel=1e-5)
    assert last["val/accuracy"] == pytest.approx(accuracy(val))


def test_the_same_configuration_gives_the_same_bits_and_another_seed_others(
    compose: Compose, work: MakeWork, results: Results
) -> None:
    config = compose(*QUICK)
    first, again = work(config, "one"), work(config, "two")
    other = work(compose(*QUICK, "seed=1"), "three")
    for job in (first, again, other):
        fit_predict.run(job)
    assert results(first) == results(again)
    assert results(first)["epochs.csv"] != results(other)["epochs.csv"]


def test_the_number_of_batches_handed_over_at_once_changes_nothing(
    compose: Compose, work: MakeWork, results: Results
) -> None:
    one, many = (
        work(compose(*QUICK, f"trainer.steps_per_execution={size}", "trainer.accumulate=3"), str(size))
        for size in (1, 7)
    )
    fit_predict.run(one)
    fit_predict.run(many)
    assert results(one)["epochs.csv"] == results(many)["epochs.csv"]
    assert predictions(one, "test").equals(predictions(many, "test"))


def test_gradients_of_several_batches_make_the_step_of_one_large_batch(
    compose: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("model.dropout=0", "trainer.max_epochs=2", "optimizer=sgd", "optimizer.lr=0.3")
    whole = work(compose(*QUICK, *settings, "trainer.batch_size=182"), "whole")
    parts = work(compose(*QUICK, *settings, "trainer.batch_size=91", "trainer.accumulate=2"), "parts")
    micro = work(compose(*QUICK, *settings, "trainer.batch_size=182", "trainer.micro_batch=50"), "micro")
    for job in (whole, parts, micro):
        fit_predict.run(job)
    monkeypatch.setenv(MICRO_BATCH_HALVINGS, "2")
    halved = work(compose(*QUICK, *settings, "trainer.batch_size=182"), "halved")
    fit_predict.run(halved)
    logits = [predictions(job, "test")[["logit_0", "logit_1"]].to_numpy() for job in (whole, parts, micro, halved)]
    assert np.array_equal(logits[2], logits[3]), "four parts, as with micro_batch=50"
    assert np.abs(logits[0] - logits[1]).max() < 1e-4
    assert 0 < np.abs(logits[0] - logits[2]).max() < 1e-4


def test_a_finished_fit_predicts_again_without_training(
    compose: Compose, work: MakeWork, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(*QUICK)
    first, second = work(config), work(config)
    fit_predict.run(first)

    def refuse(*arguments: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("seedfold.trainers.learning.training._run_training", refuse)
    fit_predict.run(second)
    assert results(first) == results(second)


def test_the_last_weights_may_be_asked_for(compose: Compose, work: MakeWork) -> None:
    settings = (*QUICK, "trainer.monitor=train/loss", "trainer.mode=max")
    best, last = work(compose(*settings)), work(compose(*settings, "predict.weights=last"))
    fit_predict.run(best)
    fit_predict.run(last)
    assert json.loads((best.folder / "fit.json").read_text())["best"]["epoch"] == 0
    assert not predictions(best, "test").equals(predictions(last, "test"))


@pytest.mark.slow
def test_stopped_at_any_step_and_continued_the_result_is_the_same(
    compose: Compose, work: MakeWork, results: Results
) -> None:
    config = compose(*QUICK, "trainer.batch_size=64")
    whole = work(config, "whole")
    fit_predict.run(whole)
    for questions in (0, 1, 5, 6, 7, 13):  # an epoch asks after each of its six steps and at its end
        stopped = work(config, f"stopped{questions}", stop_requested=StopAfter(questions))
        with pytest.raises(RunInterrupted, match="with a checkpoint"):
            fit_predict.run(stopped)
        assert not list(stopped.staging.iterdir())
        continued = work(config, f"stopped{questions}")
        fit_predict.run(continued)
        assert results(continued) == results(whole)


@pytest.mark.slow
def test_a_training_that_is_paused_at_rungs_ends_with_the_bits_of_one_that_is_not(
    compose: Compose, work: MakeWork, results: Results
) -> None:
    config = compose(
        "experiment=digits", "trainer.max_epochs=4", "trainer.batch_size=256", "augment=shift", "schedule=cosine",
    )  # fmt: skip
    whole = work(config, "whole")
    fit_predict.run(whole)
    for rung in (1, 1, 3):  # the same rung again: a worker may be killed before it has recorded the pause
        with pytest.raises(RunPaused) as paused:
            fit_predict.run(work(config, "paused", pause_after=rung))
        assert paused.value.epochs == rung
        history = list(csv.DictReader((whole.staging / "epochs.csv").open()))
        assert paused.value.metrics is not None
        assert paused.value.metrics["val/accuracy"] == float(history[rung - 1]["val/accuracy"])
    promoted = work(config, "paused", pause_after=4)
    fit_predict.run(promoted)
    assert results(promoted) == results(whole)


def test_what_a_training_goes_on_with_is_compared_with_what_it_began_with(
    compose: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = compose(*QUICK, "trainer.batch_size=64")

    def stop_after(questions: int) -> None:
        with pytest.raises(RunInterrupted):
            fit_predict.run(work(config, stop_requested=StopAfter(questions)))

    stop_after(3)
    stop_after(3)
    assert "was begun with something else" not in caplog.text
    monkeypatch.setattr("torch.__version__", "1.0")
    fit_predict.run(work(config))
    assert "torch 2." in caplog.text
    assert "before, 1.0 now" in caplog.text


@pytest.mark.slow
def test_a_job_that_is_stopped_again_and_again_ends_with_the_same_bits(
    compose: Compose, work: MakeWork, results: Results
) -> None:
    config = compose(
        "experiment=digits", "trainer.max_epochs=2", "trainer.batch_size=128", "augment=shift", "schedule=plateau",
        "trainer.accumulate=2", "trainer.micro_batch=50", "trainer=early_stopping", "sampling=balanced",
    )  # fmt: skip
    whole = work(config, "whole")
    fit_predict.run(whole)
    attempts = 0
    while True:
        attempts += 1
        job = work(config, "stopped", stop_requested=StopAfter(2))
        try:
            fit_predict.run(job)
        except RunInterrupted:
            continue
        break
    assert attempts > 3
    assert results(job) == results(whole)


def test_early_stopping_stops_and_a_repeat_does_not_go_on(compose: Compose, work: MakeWork) -> None:
    settings = ("trainer.max_epochs=50", "trainer.early_stopping.patience=1", "optimizer.lr=0.3")
    job = work(compose(*QUICK, *settings))
    fit_predict.run(job)
    epochs = json.loads((job.folder / "fit.json").read_text())["epochs"]
    assert 2 <= epochs < 50
    (job.folder / "fit.json").unlink()
    again = work(job.config)
    fit_predict.run(again)
    assert json.loads((job.folder / "fit.json").read_text())["epochs"] == epochs


def test_damaged_weights_train_again_to_the_same_bits(compose: Compose, work: MakeWork, results: Results) -> None:
    config = compose(*QUICK)
    first, again = work(config), work(config)
    fit_predict.run(first)
    for path in first.folder.glob("*.ckpt"):
        path.write_bytes(path.read_bytes()[:-200])
    fit_predict.run(again)
    assert results(first) == results(again)


def test_a_loss_that_is_not_finite_fails_and_leaves_no_such_checkpoint(compose: Compose, work: MakeWork) -> None:
    job = work(compose(*QUICK, "optimizer=sgd", "optimizer.lr=1e30", "checkpoint.every_seconds=0"))
    with pytest.raises(NonFiniteFailure, match=r"training loss became (nan|inf) in epoch 0"):
        fit_predict.run(job)
    for path in job.folder.glob("*.ckpt"):
        assert math.isfinite(torch.load(path, weights_only=True)["position"]["loss_sum"])


def test_several_heads_share_one_target(compose: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(*QUICK, "loss=binary", "loss.function.label_smoothing=0.01", "+loss.head_weights.late=2.0")

    def two_heads(config: Any) -> nn.Module:
        torch.manual_seed(0)
        return TwoHeads()

    monkeypatch.setattr("seedfold.trainers.learning.training.make_seeded_network", two_heads)
    job = work(config)
    fit_predict.run(job)
    test = predictions(job, "test")
    assert test["head"].value_counts().to_dict() == {"early": 114, "late": 114}
    late = test[test["head"] == "late"]
    assert ((late["logit_0"] > 0) == late["target"]).mean() > 0.8
    history = json.loads((job.folder / "fit.json").read_text())["history"][-1]
    assert {"val/early/accuracy", "val/late/auroc"} <= set(history)
    assert history["val/loss"] == pytest.approx(history["val/early/loss"] + 2 * history["val/late/loss"])


def test_each_head_predicts_from_its_own_best_epoch_interrupted_or_not(
    compose: Compose, work: MakeWork, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_heads(config: Any) -> nn.Module:
        torch.manual_seed(3)
        return TwoHeads()

    monkeypatch.setattr("seedfold.trainers.learning.training.make_seeded_network", two_heads)
    own = ("trainer.max_epochs=6", "optimizer.lr=0.3", "trainer.head_monitor=auroc", "trainer.batch_size=200")
    config = compose("experiment=breast_cancer", "loss=binary", *own, "checkpoint.every_seconds=0")
    job = work(config)
    fit_predict.run(job)
    fit = json.loads((job.folder / "fit.json").read_text())
    assert fit["heads"]["early"]["epoch"] != fit["heads"]["late"]["epoch"]
    val = predictions(job, "val")
    for head, best in fit["heads"].items():
        values = [row[f"val/{head}/auroc"] for row in fit["history"]]
        assert best["value"] == max(values) == values[best["epoch"]]
        rows = val[val["head"] == head]
        assert auroc(rows["target"].to_numpy() == 1, rows["logit_0"].to_numpy()) == pytest.approx(max(values))
    kept = {fit["best"]["file"], *(best["file"] for best in fit["heads"].values()), "last.ckpt"}
    assert {path.name for path in job.folder.glob("*.ckpt")} == kept

    stopped = work(config, "stopped", stop_requested=StopAfter(7))
    with pytest.raises(RunInterrupted):
        fit_predict.run(stopped)
    again = work(config, "stopped")
    fit_predict.run(again)
    assert results(again) == results(job)


@pytest.mark.slow
def test_test_time_augmentation_averages_probabilities_and_repeats(
    compose: Compose, work: MakeWork, results: Results
) -> None:
    settings = ("experiment=digits", "trainer.max_epochs=3", "augment=shift")
    plain = work(compose(*settings))
    fit_predict.run(plain)
    first, again = (work(compose(*settings, "predict.tta=5", "predict.splits=[test]")) for _ in range(2))
    fit_predict.run(first)
    fit_predict.run(again)
    assert results(first) == results(again)
    assert list(results(first)) == ["epochs.csv", "predictions.test.parquet", "thumbnails.test.parquet"]
    logits = predictions(first, "test").filter(like="logit_").to_numpy()
    assert np.exp(logits).sum(axis=1) == pytest.approx(np.ones(360), abs=1e-5)
    assert not np.array_equal(logits, predictions(plain, "test").filter(like="logit_").to_numpy())


def test_class_weights_reach_the_loss(compose: Compose, work: MakeWork) -> None:
    config = compose(*QUICK)
    weighted = compose(*QUICK, "loss.class_weights=[10.0,0.1]")
    jobs = [work(given, str(number)) for number, given in enumerate((config, weighted))]
    for job in jobs:
        fit_predict.run(job)
    shares = [(lambda p: (p["logit_0"] > p["logit_1"]).mean())(predictions(job, "test")) for job in jobs]
    assert shares[1] > shares[0] + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_both_models_of_the_axis_predict_well(compose: Compose, work: MakeWork, model: str) -> None:
    job = work(compose("experiment=breast_cancer", f"model={model}"))
    fit_predict.run(job)
    test = predictions(job, "test")
    assert accuracy(test) > 0.93
    assert test["head"].unique().tolist() == ["main"]
    if model == "logistic":
        probabilities = np.exp(test[["logit_0", "logit_1"]].to_numpy())
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(test)), abs=1e-5)


@pytest.mark.parametrize(
    ("target", "stored"),
    [
        ("sklearn.linear_model.LogisticRegression", True),
        ("sklearn.naive_bayes.GaussianNB", True),
        ("sklearn.svm.LinearSVC", True),
        ("sklearn.neighbors.KNeighborsClassifier", False),
        ("sklearn.tree.DecisionTreeClassifier", False),
    ],
)
def test_an_estimator_predicts_again_alike_stored_or_not(
    compose: Compose, work: MakeWork, results: Results, target: str, stored: bool
) -> None:
    config = compose(*QUICK)
    config["model"] = {"_target_": target}
    first, again = work(config), work(config)
    fit_predict.run(first)
    assert (first.folder / "estimator.npz").exists() == stored
    fit_predict.run(again)
    assert results(first) == results(again)


def test_estimators_weigh_classes_too(compose: Compose, work: MakeWork) -> None:
    shares = []
    for number, weights in enumerate(("null", "[20.0,0.1]")):
        job = work(compose(*QUICK, "model=logistic", f"loss.class_weights={weights}"), str(number))
        fit_predict.run(job)
        frame = predictions(job, "test")
        shares.append((frame["logit_0"] > frame["logit_1"]).mean())
    assert shares[1] > shares[0]


def test_standardisation_learns_from_the_training_samples_alone(compose: Compose) -> None:
    data = load_data(compose("experiment=breast_cancer", "sampling.imbalance_ratio=4"), lambda path: None)
    assert data.train.inputs.mean(axis=0) == pytest.approx(np.zeros(30), abs=1e-5)
    assert data.train.inputs.std(axis=0) == pytest.approx(np.ones(30), abs=1e-5)
    assert np.abs(data.evaluation_splits["val"].inputs.mean(axis=0)).max() > 0.01
    counts = np.bincount(data.train.targets)
    assert counts[0] / counts[1] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("+trainer.max_epoch=3", r"trainer.max_epoch: unknown key \(did you mean 'max_epochs'\?\)"),
        ("trainer.batch_size=0", "trainer.batch_size: 0"),
        ("trainer.accelerator=auto", "trainer.accelerator: 'auto' is not one of cpu, cuda"),
        ("trainer.accelerator=cuda", "trainer.accelerator: cuda is asked for"),
        ("trainer.precision=7-true", "trainer: .*7-true"),
        ("trainer.monitor=val/los", "trainer.monitor: no metric 'val/los'"),
        ("trainer.metrics=[acuracy]", r"trainer.metrics: no metric 'acuracy' \(did you mean 'accuracy'\?\)"),
        ("trainer.mode=most", "trainer.mode: 'most'"),
        ("predict.tta=4", "predict.tta: 4 passes without augmentation"),
        ("predict.splits=[train]", "predict.splits: 'train'"),
        ("optimizer.lr=-1", "optimizer or schedule: Invalid learning rate"),
        ("checkpoint.keep=most", "checkpoint.keep: 'most' is not one of"),
        ("fold=9", "fold: 9 is not among the 5 folds"),
        ("model._target_=torch.nn.Linaer", "model: .*Linaer"),
        ("model._target_=builtins.dict", "model: dict is neither a torch module nor an estimator"),
        ("model.classes=5", r"model: returns shape \(32, 5\) for 32 samples of 2 classes; return logits \(32, 2\) or"),
        ("loss.class_weights=[1.0,2.0,3.0]", "loss.class_weights: 3 weights for 2 classes"),
        ("task.standardize=features", "task.standardize: 'features'"),
    ],
)
def test_settings_that_cannot_be_name_the_key_in_one_line(
    compose: Compose, work: MakeWork, override: str, says: str
) -> None:
    if override == "trainer.accelerator=cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigFailure, match=says) as caught:
        fit_predict.run(work(compose(*QUICK, override)))
    assert "\n" not in str(caught.value)
