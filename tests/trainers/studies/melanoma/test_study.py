"""The study of skin lesions, tiny, from photographs and tables to the submission of a blend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_study import ImageStudy, each_done_once
from sklearn.metrics import roc_auc_score

from seedfold.jobs.study import load_study
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.store.thumbnails import read_thumbnails

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STUDY = "melanoma"
FAST = "stages.metadata.matrix.model=logistic_balanced,naive_bayes"
"""Models of metadata that are fitted at once; the third is a forest, and `test_metadata_study` has it."""
ASKED = (f"experiment={STUDY}", "size=tiny", "paths.data=data", FAST, "--wait")
OUT_OF_FOLD = {"roc.svg", "precision_recall.svg", "confusion.svg", "oof_predictions.svg"}
SUBMIT = {"oof.csv", "oof_1.csv", "submission_noensemble.csv", "submission_noensemble_1.csv", "auc.csv", "passes.csv"}
BLEND = {"oof.csv", "auc.csv", "weights.csv", "submission.csv"}
LEARNING = {"passes.svg", "learning.svg", "schedule.svg", "test_predictions.svg"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_study_runs_from_raw_files_to_its_submission(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    place = ImageStudy(tmp_path, STUDY)
    place.run("launch", *ASKED, "--root", "whole")
    whole = place.study_folder("whole")
    assert each_done_once(whole)
    _check_reused_files(place)
    assert names(whole.outputs_folder / "submit") == SUBMIT | OUT_OF_FOLD | LEARNING
    assert names(whole.outputs_folder / "blend") == BLEND | OUT_OF_FOLD | {"blend.svg"}
    assert len(list(whole.path.glob("jobs/*/*/fit.json"))) == 6 + 10, "passes share a training; 10 models of metadata"
    _check_out_of_fold(tmp_path / "data", whole)
    _check_submission(tmp_path / "data", whole)
    _check_thumbnails(whole)


def test_one_small_network_learns_and_metadata_add_to_it(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    place = ImageStudy(tmp_path, STUDY, STUDY, "--size", "small")
    one = ("model.channels=[8,16]", "task.side=32", "stages.submit.after.train='task.side=32'", "trainer.max_epochs=5")
    small = (f"experiment={STUDY}", "size=small", "paths.data=data", FAST, "--wait", *one)
    place.run("launch", *small, "predict.tta=1", "trainer.train_metrics=null", "--root", "runs")
    outputs = place.study_folder("runs").outputs_folder
    auc = pd.read_csv(outputs / "blend" / "auc.csv")
    scores = auc[auc["fold"] == "all"].set_index("model")["auroc"]
    network = scores["model.channels=[8,16] task.side=32"]
    assert network > 0.65
    assert scores["mean"] > 0.65
    assert min(scores[["given", "chosen"]]) > max(network, scores["mean"])


def _check_thumbnails(study: StudyFolder) -> None:
    """Each network keeps pictures of photographs that it predicted worst; a test photograph has no known class."""
    folders = [file.parent for file in study.path.glob("store/*/*/thumbnails.val.parquet")]
    assert len(folders) == 12
    for folder in folders:
        pictures = read_thumbnails(folder, "val")
        assert set(pictures) <= set(pd.read_parquet(folder / "predictions.val.parquet")["sample_id"])
        assert len(pictures) > 50
        assert read_thumbnails(folder, "test") == {}


def _check_reused_files(place: ImageStudy) -> None:
    """The study of metadata has its files, although all of its jobs have been done here."""
    place.run("launch", "experiment=melanoma_metadata", *ASKED[1:], "--root", "whole")
    outputs = place.study_folder("whole", "melanoma_metadata").outputs_folder
    assert names(outputs / "mean") == names(place.study_folder("whole").outputs_folder / "mean")
    assert {"meta_pred.csv", "auc.csv"} < names(outputs / "mean")
    assert not place.study_folder("whole", "melanoma_metadata").path.joinpath("store").exists()


def _check_out_of_fold(data: Path, study: StudyFolder) -> None:
    known = pd.read_csv(data / "train.csv").set_index("image_name")
    oof = pd.read_csv(study.outputs_folder / "submit" / "oof.csv").set_index("image_name")
    assert list(oof) == ["target", "pred", "fold"]
    assert sorted(oof.index) == sorted(known.index)
    assert (oof["target"] == known["target"][oof.index]).all()
    assert known["patient_id"].groupby(known["patient_id"]).size().max() > 1
    assert oof["fold"].groupby(known["patient_id"][oof.index]).nunique().max() == 1, "a patient validates in one fold"
    scores = pd.read_csv(study.outputs_folder / "submit" / "auc.csv").set_index(["predict.tta", "fold"])["auroc"]
    for passes, name in ((1, "oof_1"), (3, "oof")):
        own = pd.read_csv(study.outputs_folder / "submit" / f"{name}.csv")
        assert scores[passes, "all"] == pytest.approx(roc_auc_score(own["target"], own["pred"]))


def _check_submission(data: Path, study: StudyFolder) -> None:
    blend, submit = study.outputs_folder / "blend", study.outputs_folder / "submit"
    submission = pd.read_csv(blend / "submission.csv")
    assert list(submission) == ["image_name", "target"]
    assert submission["image_name"].tolist() == sorted(pd.read_csv(data / "test.csv")["image_name"])
    oof, metadata = pd.read_csv(blend / "oof.csv"), pd.read_csv(study.outputs_folder / "mean" / "oof.csv")
    one, networks = pd.read_csv(submit / "oof.csv"), [name for name in oof if name.startswith("model.channels")]
    assert len(networks) == 2
    assert oof["image_name"].tolist() == one["image_name"].tolist()
    assert oof["model.channels=[8,16] task.side=32"].to_numpy() == pytest.approx(one["pred"].to_numpy())
    mean = metadata.set_index("image_name")["pred"][oof["image_name"]].to_numpy()
    assert oof["mean"].to_numpy() == pytest.approx(mean, abs=1e-6)
    wanted = (0.15 * oof[networks].sum(axis=1) + 0.1 * mean) / 0.4
    assert oof["pred"].to_numpy() == pytest.approx(wanted.to_numpy(), abs=1e-6)
    auc = pd.read_csv(blend / "auc.csv").set_index(["model", "fold"])["auroc"]
    assert auc["given", "all"] == pytest.approx(roc_auc_score(oof["target"], wanted))
    assert np.isfinite(auc.to_numpy()).all()


def test_the_study_at_full_size_is_the_published_one_and_takes_metadata_from_its_own_study() -> None:
    every = list(load_study([f"experiment={STUDY}"]).jobs())
    trained = [job for job in every if job.stage == "train"]
    assert {(job.axes["model.name"], job.axes["task.side"]) for job in trained} == {
        (f"efficientnet-{name}", side) for name in ("b2", "b4", "b6") for side in (384, 512)
    }
    assert len({job.fit for job in trained}) == 18
    assert all(job.config["schedule"]["max"] == pytest.approx(7.68e-4) for job in trained)
    [submit] = [job for job in every if job.stage == "submit"]
    b6 = [job.id for job in trained if (job.axes["model.name"], job.axes["task.side"]) == ("efficientnet-b6", 512)]
    assert sorted(submit.parents) == sorted(b6)
    [blend] = [job for job in every if job.stage == "blend"]
    [mean] = [job for job in every if job.stage == "mean"]
    assert set(blend.parents) == {mean.id, *(job.id for job in trained)}
    metadata = {job.id for job in load_study(["experiment=melanoma_metadata"]).jobs()}
    assert metadata == {job.id for job in every if job.stage in ("describe", "metadata", "mean")}
    assert all(job.resources.gpus == (job.stage == "train") for job in every)
    asked = ("loss.weighting=shares", "archive=false", "pretrained=null")
    other = [job for job in load_study([f"experiment={STUDY}", *asked]).jobs() if job.stage in ("train", "metadata")]
    changed = [job.config for job in other if job.stage == "train"]
    assert [each["loss"]["function"]["class_weights"] for each in changed] == [pytest.approx([0.036, 1.964])] * 36
    assert {(each["task"]["archive"]["use"], each["model"]["pretrained"]) for each in changed} == {(False, None)}
    plain = [job.config for job in trained]
    assert {(each["task"]["archive"]["use"], each["model"]["pretrained"]) for each in plain} == {(True, "imagenet")}
    assert {job.id for job in other if job.stage == "metadata"} <= metadata
