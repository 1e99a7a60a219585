"""The models of patients' metadata, from tables with gaps to a file of predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_study import ImageStudy, each_done_once
from sklearn.metrics import roc_auc_score

import seedfold

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STUDY = "melanoma_metadata"
ASKED = (f"experiment={STUDY}", "size=tiny", "paths.data=data", "task.folds.k=2", "fold=0,1", "--wait")
MODELS = ["logistic_balanced", "naive_bayes", "random_forest"]
FIGURES = {f"{name}.svg" for name in ("target", "sex", "diagnosis", "anatom_site_general_challenge", "age_approx")}


def test_the_models_run_from_tables_to_predictions(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    place = ImageStudy(tmp_path, STUDY, "melanoma")
    place.run("launch", *ASKED, "--root", "whole")
    whole = place.study_folder("whole")
    assert each_done_once(whole)
    assert {"meta_pred.csv", "oof.csv", "auc.csv"} <= {path.name for path in (whole.outputs_folder / "mean").iterdir()}
    assert {path.name for path in (whole.outputs_folder / "describe").iterdir()} == FIGURES
    assert (whole.outputs_folder / "mean" / "test_predictions.svg").exists()
    _check_test_predictions(tmp_path, whole.outputs_folder / "mean")
    _check_scores(tmp_path, whole.outputs_folder / "mean")


def _check_test_predictions(place: Path, outputs: Path) -> None:
    rows = seedfold.study(STUDY, place / "whole").predictions("test", where="stage=metadata")
    assert rows.groupby("sample_id")["job"].nunique().unique().tolist() == [2 * len(MODELS)]
    wanted = np.exp(rows.set_index("sample_id")["logit_1"]).groupby(level=0).mean()
    found = pd.read_csv(outputs / "meta_pred.csv")
    assert found["image_name"].tolist() == sorted(pd.read_csv(place / "data" / "test.csv")["image_name"])
    assert found["target"].to_numpy() == pytest.approx(wanted[found["image_name"]].to_numpy(), abs=1e-6)


def _check_scores(place: Path, outputs: Path) -> None:
    oof, table = pd.read_csv(outputs / "oof.csv"), pd.read_csv(place / "data" / "train_extended.csv")
    known = table.set_index("image_name")["target"]
    assert oof["target"].tolist() == known[oof["image_name"]].tolist()
    assert sorted(oof["image_name"]) == sorted(known.index)
    assert oof["pred"].to_numpy() == pytest.approx(oof[MODELS].mean(axis=1).to_numpy())
    scores = pd.read_csv(outputs / "auc.csv").set_index(["model", "fold"])["auroc"]
    for model, column in [*zip(MODELS, MODELS, strict=True), ("mean", "pred")]:
        folds = [roc_auc_score(own["target"], own[column]) for _, own in oof.groupby("fold")]
        assert scores[model][["0", "1"]].tolist() == pytest.approx(folds)
        assert scores[model]["mean"] == pytest.approx(np.mean(folds))
        assert scores[model]["all"] == pytest.approx(roc_auc_score(oof["target"], oof[column]))
        assert scores[model]["mean"] > 0.55
    trained = pd.read_csv(outputs / "auc.csv").set_index(["model", "fold"])["train_auroc"]
    assert trained[MODELS[0]]["mean"] > scores[MODELS[0]]["mean"]
    assert trained["mean"].isna().all()
