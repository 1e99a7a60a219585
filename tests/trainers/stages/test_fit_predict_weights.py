"""What a job keeps, says and does when it is stopped; and its weights, used again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedfold.jobs.work import ConfigFailure, RunInterrupted, Work
from seedfold.results.store.published import DamagedError
from seedfold.trainers.stages import fit_predict

Compose = Callable[..., dict[str, Any]]


MakeWork = Callable[..., Work]


Results = Callable[[Work], dict[str, bytes]]


QUICK = ("experiment=breast_cancer", "trainer.max_epochs=3", "trainer.batch_size=32")


def predictions(work: Work, split: str) -> pd.DataFrame:
    return pd.read_parquet(work.staging / f"predictions.{split}.parquet")


def test_weights_go_when_what_was_published_has_been_read_back(
    compose: Compose, work: MakeWork, published: Callable[[Work], Work]
) -> None:
    job = work(compose(*QUICK, "checkpoint.keep=none"))
    fit_predict.run(job)
    done = published(job)
    test = done.staging / "predictions.test.parquet"
    content = test.read_bytes()
    test.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedError, match=r"predictions.test.parquet: .* changed; the checkpoints are kept"):
        fit_predict.after_publish(done)
    assert list(job.folder.glob("*.ckpt"))
    test.write_bytes(content)
    fit_predict.after_publish(done)
    assert not list(job.folder.iterdir())


def test_a_job_writes_one_line_an_epoch(
    compose: Compose, work: MakeWork, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fit_predict.run(work(compose(*QUICK)))
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert [record.message[:8] for record in caplog.records] == [f"epoch {n} " for n in range(3)]


def test_a_termination_without_a_handler_ends_after_the_epoch_and_continues(
    compose: Compose, work: MakeWork, results: Results
) -> None:
    config = compose(*QUICK)
    whole = work(config, "whole")
    fit_predict.run(whole)
    asked = 0

    def terminate_once() -> bool:
        nonlocal asked
        asked += 1
        if asked == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    with pytest.raises(RunInterrupted, match="between epochs, with a checkpoint"):
        fit_predict.run(work(config, "terminated", stop_requested=terminate_once))
    assert asked < 20
    continued = work(config, "terminated")
    fit_predict.run(continued)
    assert results(continued) == results(whole)


def test_progress_is_reported_an_epoch_at_a_time(compose: Compose, work: MakeWork) -> None:
    told: list[tuple[int, int]] = []
    fit_predict.run(work(compose(*QUICK, "trainer.early_stopping=null"), progress=lambda *done: told.append(done)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("keep", ["last", "none"])
def test_weights_that_were_not_kept_are_trained_again_to_the_same_bits(
    compose: Compose, work: MakeWork, results: Results, published: Callable[[Work], Work], keep: str
) -> None:
    config = compose(*QUICK, f"checkpoint.keep={keep}")
    first, again = work(config), work(config)
    fit_predict.run(first)
    before = results(first)
    fit_predict.after_publish(published(first))
    fit_predict.run(again)
    assert before == results(again)


@pytest.mark.slow
@pytest.mark.parametrize(("most", "epochs"), [(1, 1), (15, 1), (16, 2), (1000, 3)])
def test_a_quick_look_ends_after_so_many_batches(compose: Compose, work: MakeWork, most: int, epochs: int) -> None:
    config = compose("experiment=digits", "trainer.max_epochs=3", f"trainer.max_steps={most}")
    attempt = work(config)
    fit_predict.run(attempt)
    assert len((attempt.staging / "epochs.csv").read_text().splitlines()) == 1 + epochs
    assert (attempt.staging / "predictions.test.parquet").exists()


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_last_epoch_that_is_cut_short_counts_as_every_other(
    compose: Compose, work: MakeWork, accumulate: int
) -> None:
    config = compose(
        *QUICK, "trainer.max_steps=13", "trainer.steps_per_execution=1", f"trainer.accumulate={accumulate}"
    )
    attempt = work(config)
    fit_predict.run(attempt)
    epochs = pd.read_csv(attempt.staging / "epochs.csv")
    assert len(epochs) == 2
    # Its batches have changed the network, and it was validated afterwards.
    assert epochs["val/loss"].is_unique


@pytest.mark.parametrize("model", ["mlp", "logistic"])
def test_new_samples_are_predicted_from_kept_weights_without_any_training(
    compose: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str
) -> None:
    config = compose(*QUICK, f"model={model}")
    trained = work(config)
    fit_predict.run(trained)
    known = predictions(trained, "test").set_index("sample_id")
    data = Path(str(files("sklearn.datasets") / "data" / "breast_cancer.csv")).read_text().splitlines()
    rows = [int(name) for name in known.index[:7]]
    (tmp_path / "new.csv").write_text("\n".join([data[0], *(data[1 + row] for row in rows)]) + "\n")

    source = {**config["task"]["source"], "path": str(tmp_path / "new.csv")}
    monkeypatch.setattr("seedfold.trainers.learning.training._run_training", None)
    monkeypatch.setattr("seedfold.trainers.learning.classical._fit_estimator", None)
    monkeypatch.setattr("seedfold.trainers.stages.fit_predict.load_data", None)
    again = work({**config, "predict": {**config["predict"], "source": source}})
    fit_predict.run(again)
    logits = [name for name in known if name.startswith("logit_")]
    assert not (again.staging / "predictions.test.parquet").exists()
    assert np.allclose(predictions(again, "new")[logits], known[logits][:7], atol=1e-5)

    if model == "mlp":
        [weights] = trained.folder.glob("best-*.ckpt")
        elsewhere = work(
            {**config, "predict": {**config["predict"], "source": source, "weights": str(weights)}}, "other"
        )
        fit_predict.run(elsewhere)
        assert predictions(elsewhere, "new").equals(predictions(again, "new"))
    (trained.folder / "fit.json").unlink()
    with pytest.raises(ConfigFailure, match=r"predict\.source: nothing has been trained with this configuration"):
        fit_predict.run(work({**config, "predict": {**config["predict"], "source": source}}))
    with pytest.raises(ConfigFailure, match=r"predict\.weights: .* has no training with this configuration"):
        fit_predict.run(work({**config, "predict": {**config["predict"], "weights": str(tmp_path)}}))
