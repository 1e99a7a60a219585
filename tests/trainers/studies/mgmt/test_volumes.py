from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.job_data import load_data
from seedfold.trainers.data.samples import UNKNOWN, Samples
from seedfold.trainers.studies.mgmt.volumes import Volumes
from seedfold.trainers.studies.sample_data import make

MODALITIES = {"t2w": True, "fla": False, "t1w": False, "t1c": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make("mgmt", folder, "tiny")
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def source(folder: Path, **changed: Any) -> Volumes:
    given = {"modalities": MODALITIES, "size": [16, 16, 16], **changed}
    return Volumes(str(folder / "volumes"), str(folder / "cases.csv"), **given)


def read(folder: Path, **changed: Any) -> Samples:
    return source(folder, **changed).load(lambda path: None)


def edit(folder: Path, change: Callable[[pd.DataFrame], Any]) -> None:
    table = pd.read_csv(folder / "cases.csv", dtype={"case": str})
    change(table)
    table.to_csv(folder / "cases.csv", index=False)


def test_voxels_are_scaled_as_the_table_says_and_the_mask_comes_last(made: Path) -> None:
    reads: list[Path] = []
    samples = source(made, clip=1.5).load(reads.append)
    assert reads == [made / "cases.csv"]
    table = pd.read_csv(made / "cases.csv", dtype={"case": str})
    assert samples.ids == tuple(table["case"])
    assert samples.held_out is not None
    assert samples.held_out.tolist() == (table["cohort"] == "test").tolist()
    assert samples.targets.tolist() == table["label"].fillna(UNKNOWN).tolist()

    row = table.iloc[7]
    [volumes] = samples.inputs[np.asarray([3, 7])].gather(slice(1, 2))  # type: ignore[union-attr]
    for channel, name in enumerate(("t2w", "t1c")):
        raw = np.load(made / "volumes" / row["case"] / f"{name}.npy").astype(float)
        expected = np.clip((raw - row[f"{name}_mean"]) / row[f"{name}_sd"], -1.5, 1.5)
        assert volumes[channel] == pytest.approx(expected, abs=1e-4)
        assert abs(volumes[channel]).max() == 1.5
    assert np.array_equal(volumes[2], np.load(made / "volumes" / row["case"] / "mask.npy"))


def test_the_test_cohort_is_never_trained_on(made: Path, compose: Callable[..., dict[str, Any]]) -> None:
    config = compose("experiment=mgmt", "size=tiny", f"paths.data={made}", "fold=1")
    data = load_data(config, lambda path: None)
    assert (len(data.train), len(data.evaluation_splits["val"]), len(data.evaluation_splits["test"])) == (22, 14, 9)
    assert set(data.evaluation_splits["test"].targets) == {UNKNOWN}
    assert not set(data.train.targets) - {0, 1}


def test_sample_data_is_the_same_every_time(made: Path, tmp_path: Path) -> None:
    make("mgmt", tmp_path, "tiny")
    files = [path.relative_to(made) for path in made.rglob("*.*") if path.is_file()]
    assert len(files) == 45 * 5 + 2
    assert all((tmp_path / path).read_bytes() == (made / path).read_bytes() for path in files)


def replaced(file: str, array: Any) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / "volumes" / file, array)


def cell(row: int, name: str, value: Any) -> Callable[[Path], None]:
    def change(table: pd.DataFrame) -> None:
        table[name] = table[name].astype("object")
        table.loc[row, name] = value

    return lambda folder: edit(folder, change)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda at: (at / "volumes/00002/t1c.npy").unlink(), r"00002/t1c.npy \(row 3 of .*cases.csv\): does not exist"),
        (lambda at: (at / "volumes/00002/mask.npy").write_bytes(b"x"), "mask.npy .*cannot be read as an array"),
        (replaced("00001/t2w.npy", np.zeros((16, 16, 8))), r"shape \[16, 16, 8\], task.size is \[16, 16, 16\]"),
        (replaced("00001/t2w.npy", np.zeros((16, 16, 16), complex)), "holds complex128, not real numbers"),
        (replaced("00001/t2w.npy", np.full((16, 16, 16), None)), "cannot be read as an array"),
        (cell(4, "case", "00003"), "rows 4 and 5 have the same id '00003'"),
        (cell(4, "label", None), "row 5 has target <NA>"),
        (cell(4, "label", 2), r"row 5 \(00004\) has target 2; task.classes is 2"),
        (cell(4, "cohort", "trian"), "row 5 is of the cohort 'trian'; it should be train or test"),
        (cell(4, "t1c_sd", 0), r"row 5 \(00004\): the deviation of t1c is 0.0, not above 0"),
        (lambda at: edit(at, lambda table: table.pop("t1c_mean")), "no column 't1c_mean' .did you mean 't1w_mean'"),
    ],
)  # fmt: skip
def test_bad_data_is_named_with_file_and_row(data: Path, damage: Callable[[Path], None], says: str) -> None:
    damage(data)
    with pytest.raises(DataFailure, match=says):
        read(data)


def test_a_file_that_is_cut_short_or_not_finite_is_named(data: Path) -> None:
    samples = read(data)
    path = data / "volumes" / "00000" / "t2w.npy"
    np.save(path, np.full((16, 16, 16), np.nan))
    with pytest.raises(DataFailure, match=r"t2w.npy \(row 1 of .*missing or infinite voxel"):
        samples.inputs.gather(slice(0, 1))  # type: ignore[union-attr]
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataFailure, match=r"t2w.npy \(row 1 of .*cannot be read"):
        samples.inputs.gather(slice(0, 1))  # type: ignore[union-attr]


def test_a_modality_that_is_switched_off_need_not_be_there(data: Path) -> None:
    for path in data.glob("volumes/*/fla.npy"):
        path.unlink()
    edit(data, lambda table: [table.pop(name) for name in ("fla_mean", "fla_sd")])
    assert len(read(data)) == 45


def test_folds_may_be_in_a_column_of_the_table(data: Path) -> None:
    def number(table: pd.DataFrame) -> None:
        table["part"] = (np.arange(len(table)) * 2 % 3).astype(float)
        table.loc[table["cohort"] == "test", "part"] = np.nan

    edit(data, number)
    found = read(data, fold="part")
    assert found.held_out is not None
    assert found.shards is not None
    expected = np.where(found.held_out, -1, np.arange(len(found)) * 2 % 3)
    assert found.shards.tolist() == expected.tolist()
    edit(data, lambda table: table.__setitem__("part", np.nan))
    with pytest.raises(DataFailure, match=r"row \d+ has the part <NA>; give a fold, counted from 0"):
        read(data, fold="part")
