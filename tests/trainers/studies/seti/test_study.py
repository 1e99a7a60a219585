"""The study of spectrograms, small, from raw files to a submission."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_study import ImageStudy, each_done_once
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STUDY = ("experiment=seti", "size=tiny", "paths.data=data", "--wait")
TABLES = {"oof.csv", "oof_1.csv", "submission.csv", "submission_1.csv", "auc.csv", "passes.csv"}
OUT_OF_FOLD = {"roc.svg", "precision_recall.svg", "confusion.svg", "oof_predictions.svg"}
FIGURES = {"passes.svg", "learning.svg", "schedule.svg", "test_predictions.svg", *OUT_OF_FOLD}
SURVEY = {"folds.csv", "balance_folds.csv", "balance_shards.csv", "classes.svg", "samples.png"}


def test_the_study_runs_from_raw_files_to_its_submission(tmp_path: Path, where: tuple[str, ...]) -> None:
    place = ImageStudy(tmp_path, "seti")
    place.run("launch", *STUDY, *where, "--root", "whole")
    whole = place.study_folder("whole")
    assert each_done_once(whole)
    assert {path.name for path in (whole.outputs_folder / "submit").iterdir()} == TABLES | FIGURES
    assert {path.name for path in (whole.outputs_folder / "survey").iterdir()} == SURVEY
    assert len(list(whole.path.glob("jobs/*/*/fit.json"))) == 5, "passes of test-time augmentation share a training"
    _check_tables(place, whole)
    _check_training_scores(whole)
    _train_on_records(place)


def _check_tables(place: ImageStudy, study: StudyFolder) -> None:
    labels = pd.read_csv(place.folder / "data" / "train_labels.csv").set_index("id")["target"]
    folds = pd.read_csv(study.outputs_folder / "survey" / "folds.csv").set_index("sample_id")
    scores = pd.read_csv(study.outputs_folder / "submit" / "auc.csv").set_index(["predict.tta", "fold"])["auroc"]
    for passes, ending in ((1, "_1"), (3, "")):
        oof = pd.read_csv(study.outputs_folder / "submit" / f"oof{ending}.csv").set_index("image_id")
        assert sorted(oof.index) == sorted(labels.index)
        assert (oof["target"] == labels[oof.index]).all()
        assert (oof["fold"] == folds.loc[oof.index, "fold"]).all()
        assert scores[passes, "all"] == pytest.approx(roc_auc_score(oof["target"], oof["pred"]))
        second = oof[oof["fold"] == 1]
        assert scores[passes, "1"] == pytest.approx(roc_auc_score(second["target"], second["pred"]))
        submission = pd.read_csv(study.outputs_folder / "submit" / f"submission{ending}.csv")
        assert list(submission) == ["id", "target"]
        assert submission["id"].tolist() == sorted(pd.read_csv(place.folder / "data" / "sample_submission.csv")["id"])
        assert submission["target"].to_numpy() == pytest.approx(_mean_of_folds(study, passes, submission["id"]))


def _check_training_scores(study: StudyFolder) -> None:
    scores = pd.read_csv(study.outputs_folder / "submit" / "auc.csv").set_index(["predict.tta", "fold"])["train_auroc"]
    found = []
    for job in Ledger(study).plans.current_jobs.values():
        if job.axes.get("predict.tta") == 1:
            epochs = pd.read_csv(study.result_folder(job.id, 1) / "epochs.csv")
            assert {"train/auroc", "train/eval_loss"} < set(epochs)
            found.append(epochs["train/auroc"][epochs["val/auroc"].idxmax()])
            assert scores[1, str(job.axes["fold"])] == pytest.approx(found[-1])
    assert scores[1, "mean"] == scores[3, "mean"] == pytest.approx(np.mean(found))


def _mean_of_folds(study: StudyFolder, passes: int, ids: pd.Series[str]) -> NDArray[np.float64]:
    chosen = [job for job in Ledger(study).plans.current_jobs.values() if job.axes.get("predict.tta") == passes]
    tables = [pd.read_parquet(study.result_folder(job.id, 1) / "predictions.test.parquet") for job in chosen]
    assert len(tables) == 5
    assert all(table["target"].isna().all() for table in tables)
    logits = [table.set_index("sample_id").loc[ids, "logit_0"].to_numpy(float) for table in tables]
    return np.asarray(1 / (1 + np.exp(-np.asarray(logits)))).mean(axis=0)


def _train_on_records(place: ImageStudy) -> None:
    one = ("task=seti_tfrecords", "study=records", "fold=0", "predict.tta=1", "--stage", "train", "--root", "records")
    place.run("launch", *STUDY, *one)
    [file] = place.study_folder("records", "records").path.glob("store/*/*/predictions.val.parquet")
    table, labels = pd.read_parquet(file), pd.read_csv(place.folder / "data" / "train_labels.csv")
    assert len(table) == 16
    assert (table["target"].to_numpy() == labels.set_index("id")["target"][table["sample_id"]].to_numpy()).all()
