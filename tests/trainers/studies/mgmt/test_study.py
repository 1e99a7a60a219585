"""The study of networks with several heads, small, from volumes to the files of results."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from image_study import ImageStudy, each_done_once

import seedfold

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STUDY = ("experiment=mgmt", "size=tiny", "paths.data=data", "--wait")
HEADS = {"last", *(f"block_{number}" for number in range(1, 6))}
TABLES = {"ensemble.csv", "scores.csv", "members.csv", "oof.csv", "submission.csv"}
FIGURES = {"classes.svg", "ensemble.svg", "learning.svg", "schedule.svg", "test_predictions.svg"}


def test_the_study_runs_from_volumes_to_its_files(tmp_path: Path) -> None:
    place = ImageStudy(tmp_path, "mgmt")
    place.run("launch", *STUDY, "--root", "whole")
    whole = place.study_folder("whole")
    assert each_done_once(whole)
    assert {path.name for path in (whole.outputs_folder / "ensemble").iterdir()} == TABLES | FIGURES
    _check_heads(place)
    _check_outputs(place)


def _check_heads(place: ImageStudy) -> None:
    table = pd.DataFrame(
        json.loads(place.run("results", "mgmt", "metrics", "--stage", "train", "--format", "json", "--root", "whole"))
    )
    assert set(table["head"]) == HEADS
    assert set(table["split"]) == {"val"}, "the labels of the test cohort are not told"
    fits = [json.loads(path.read_text()) for path in place.study_folder("whole").path.glob("jobs/*/*/fit.json")]
    assert len(fits) == 6
    assert all(set(fit["heads"]) == HEADS for fit in fits)
    best = sorted(own["value"] for fit in fits for own in fit["heads"].values())
    stored = sorted(table[table["metric"] == "accuracy"]["value"])
    assert stored == pytest.approx(best, abs=1e-6)


def _check_outputs(place: ImageStudy) -> None:
    folder, cases = (
        place.study_folder("whole").outputs_folder / "ensemble",
        pd.read_csv(place.folder / "data" / "cases.csv"),
    )
    development, test = (cases[cases["cohort"] == cohort]["case"].tolist() for cohort in ("train", "test"))
    oof = pd.read_csv(folder / "oof.csv")
    assert sorted(oof["sample_id"]) == development
    assert set(oof["fold"]) == {0, 1, 2}
    assert oof["pred"].between(0, 1).all()
    assert pd.read_csv(folder / "submission.csv")["sample_id"].tolist() == test
    curve = pd.read_csv(folder / "ensemble.csv")
    assert curve["samples"].unique().tolist() == [len(development)]
    assert set(curve["chosen_on"]) == {"own fold", "other folds", "other folds, n too"}
    used = pd.read_csv(folder / "scores.csv")
    assert used["chosen_on"].tolist() == ["own fold", "other folds", "other folds, n too"]
    assert used["auroc"].tolist() == curve.loc[curve["n"].isin(used["n"]) | curve["n"].isna(), "auroc"].tolist()
    place.run("results", "mgmt", "top", "--min-accuracy", "0.5", "--out", "top.csv", "--root", "whole")
    assert (place.folder / "top.csv").read_bytes() == (folder / "ensemble.csv").read_bytes()
    listed = seedfold.study("mgmt", place.folder / "whole").top(members="head=last")
    assert listed[listed["chosen_on"] == "own fold"]["n"].max() == 2
    members = pd.read_csv(folder / "members.csv")
    assert (members["accuracy"] >= 0.5).all()
    assert members.groupby("fold")["used"].sum().min() >= 1
