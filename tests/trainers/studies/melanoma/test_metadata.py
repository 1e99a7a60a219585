from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.samples import UNKNOWN
from seedfold.trainers.studies.melanoma.metadata import Metadata

HEADER = "name,patient,sex,age,site,target"
ROWS = (
    "a,p1,male,30.0,torso,0",
    "b,p1,male,,anterior torso,1",
    "c,p2,female,41.0,head/neck,0",
    "d,,unknown,50.0,oral,0",
    "e,,,60.0,,1",
)
TEST = ("name,patient,sex,age,site", "t,p3,male,30.0,head/neck", "u,p3,female,,anus")
COLUMNS: dict[str, Any] = {
    "id": "name",
    "target": "target",
    "group": "patient",
    "classes": 2,
    "numbers": ["age"],
    "categories": ["sex", "site"],
    "missing": ["unknown"],
    "merge": {"torso": ["anterior torso", "posterior torso"]},
}


class Tables:
    """Two tables in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("train.csv", HEADER, *ROWS)
        self.write("test.csv", *TEST)

    def write(self, name: str, *lines: str) -> None:
        (self.folder / name).write_text("\n".join(lines) + "\n")

    def load(self, **given: Any) -> Any:
        paths = {"path": str(self.folder / "train.csv"), "test_path": str(self.folder / "test.csv")}
        return Metadata(**{**paths, **COLUMNS, **given}).load(lambda read: None)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


def test_both_tables_have_the_columns_of_the_development_table(
    tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        samples = tables.load()
    assert samples.ids == ("a", "b", "c", "d", "e", "t", "u")
    assert samples.targets.tolist() == [0, 1, 0, 0, 1, UNKNOWN, UNKNOWN]
    assert samples.held_out.tolist() == [False] * 5 + [True] * 2
    assert samples.groups.tolist() == ["p1", "p1", "p2", "name d", "name e", "p3", "p3"]
    assert samples.inputs.shape == (7, 1 + 1 + 2)
    age, male, oral, torso = samples.inputs.T
    filled = np.array([30, 45, 41, 50, 60, 30, 45])
    own = filled[:5]
    assert age == pytest.approx((filled - own.mean()) / own.std(), abs=1e-6)
    assert male[[0, 1, 2, 5, 6]].tolist() == [1, 1, 0, 1, 0]
    assert torso[[0, 1, 2, 3, 5, 6]].tolist() == [1, 1, 0, 0, 0, 0]
    assert oral[[0, 1, 2, 3, 5, 6]].tolist() == [0, 0, 0, 1, 0, 0]
    assert "'anus' does not occur in the development table" in caplog.text


def test_gaps_are_drawn_as_often_as_each_category_is_observed(tables: Tables) -> None:
    known = [f"k{number},,{sex},30,torso,0" for number, sex in enumerate(["male"] * 30 + ["female"] * 10)]
    gaps = [f"g{number},,,30,torso,1" for number in range(2000)]
    tables.write("train.csv", HEADER, *known, *gaps)
    drawn = tables.load().inputs[40:2040, 1]
    assert np.array_equal(drawn, tables.load().inputs[40:2040, 1])
    assert not np.array_equal(drawn, tables.load(seed=1).inputs[40:2040, 1])
    assert Counter(drawn.tolist())[1.0] / 2000 == pytest.approx(0.75, abs=0.04)


def test_the_test_table_changes_nothing_of_the_development_table(tables: Tables) -> None:
    before = tables.load()
    tables.write("test.csv", HEADER, "v,p4,female,99.0,torso,1", "w,p4,,,,0")
    after = tables.load()
    assert np.array_equal(before.inputs[:5], after.inputs[:5])
    assert after.targets[5:].tolist() == [1, 0]
    alone = tables.load(test_path=None)
    assert np.array_equal(alone.inputs, before.inputs[:5])
    assert not alone.held_out.any()


@pytest.mark.parametrize(
    ("change", "given", "says"),
    [
        (("60.0", "old"), {}, r"train\.csv: row 5, column 'age' holds 'old', which is not a number"),
        (("", ""), {"numbers": ["ages"]}, r"train\.csv: no column 'ages' \(did you mean 'age'\?\)"),
        (("", ""), {"missing": ["unknown", "male", "female"]}, "column 'sex' is missing in every row"),
        (("t,p3", "a,p3"), {}, "have the same id 'a'"),
        (("torso,0", "torso,2"), {}, "has target 2"),
    ],
)
def test_bad_tables_are_named(tables: Tables, change: tuple[str, str], given: dict[str, Any], says: str) -> None:
    tables.write("train.csv", HEADER, *(row.replace(*change) for row in ROWS))
    tables.write("test.csv", *(row.replace(*change) for row in TEST))
    with pytest.raises(DataFailure, match=says) as caught:
        tables.load(**given)
    assert "\n" not in str(caught.value)


def test_the_published_table_is_read_without_being_told(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    import seedfold

    rows = ("a,512,512,male,30.0,torso,0", "b,512,640,unknown,45,,1", "c,9,9,female,,head/neck,0")
    (tmp_path / "train_extended.csv").write_text(
        "\n".join(("image_name,height,width,sex,age_approx,site,target", *rows))
    )
    test = ("image_name,patient_id,sex,age_approx,anatom_site_general_challenge", "t,p,male,60.0,lateral torso")
    (tmp_path / "test.csv").write_text("\n".join(test))
    task = OmegaConf.load(Path(seedfold.__path__[0], "conf", "task", "melanoma_metadata.yaml"))
    config: Any = OmegaConf.to_container(
        OmegaConf.create({"task": task, "paths": {"data": str(tmp_path)}}), resolve=True
    )
    source = {name: value for name, value in config["task"]["source"].items() if name != "_target_"}
    samples = Metadata(**source).load(lambda read: None)
    assert samples.ids == ("a", "b", "c", "t")
    assert samples.targets.tolist() == [0, 1, 0, UNKNOWN]
    assert samples.groups is None
    assert samples.inputs[[0, 2, 3], -1].tolist() == [1, 0, 1], "torso, under the one name and under the other"
