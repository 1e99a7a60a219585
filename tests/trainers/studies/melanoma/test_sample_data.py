from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from seedfold.trainers.studies.melanoma.sample_data import COLUMNS
from seedfold.trainers.studies.sample_data import make

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("melanoma")
    make("melanoma", folder, "tiny")
    return folder


@pytest.mark.parametrize(
    ("table", "images"),
    [
        ("train.csv", "jpeg/train"),
        ("test.csv", "jpeg/test"),
        ("sample_submission.csv", "jpeg/test"),
        ("external/train.csv", "external/jpeg/train"),
    ],
)
def test_every_row_has_a_photograph(made: Path, table: str, images: str) -> None:
    names = pd.read_csv(made / table)["image_name"]
    assert sorted(names) == sorted(path.stem for path in (made / images).iterdir())
    with Image.open(made / images / f"{names[0]}.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 48))


def test_tables_have_what_makes_the_real_ones_difficult(made: Path) -> None:
    train, extended = (pd.read_csv(made / name, keep_default_na=False) for name in ("train.csv", "train_extended.csv"))
    assert tuple(train) == tuple(extended) == COLUMNS
    assert tuple(pd.read_csv(made / "test.csv")) == COLUMNS[:5]
    assert 0.15 <= train["target"].mean() <= 0.2
    assert train["patient_id"].value_counts().max() >= 3
    assert train.groupby("patient_id")["sex"].nunique().max() == 1
    assert set(extended["sex"]) == {"male", "female", "unknown", ""}
    assert (extended[["age_approx", "anatom_site_general_challenge"]] == "").any().all()
    assert {"torso", "anterior torso"} <= set(extended["anatom_site_general_challenge"])
    assert extended["image_name"].is_unique
    assert ((extended["target"] == 1) == (extended["benign_malignant"] == "malignant")).all()
