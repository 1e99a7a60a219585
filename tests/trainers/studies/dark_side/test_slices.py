"""From seismic volumes to slices that a network learns from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedfold.jobs.resources import Resources
from seedfold.jobs.work import ConfigFailure, DataFailure, RunInterrupted, Work
from seedfold.trainers.data.batches import EvaluationBatches, Position, TrainingBlocks
from seedfold.trainers.data.folds import divide_samples
from seedfold.trainers.data.job_data import drop_empty_slices, load_data
from seedfold.trainers.data.samples import UNKNOWN, Samples
from seedfold.trainers.data.sampling import TrainingOrder
from seedfold.trainers.studies.dark_side import slice_files
from seedfold.trainers.studies.dark_side import slices_stage as slices
from seedfold.trainers.studies.dark_side.sample_data import empty_volume_name
from seedfold.trainers.studies.dark_side.slices import Slices
from seedfold.trainers.studies.sample_data import make

Compose = Callable[..., dict[str, Any]]
MakeWork = Callable[..., Work]

PROGRAM = Path(__file__).parents[2] / "stage_program.py"
SIDE, DEPTH = 24, 44
SWAPPED, PLAIN = "survey_2024_0001", "survey_2021_0003"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make("dark_side", folder, "tiny")
    return folder


@pytest.fixture
def few(made: Path, tmp_path: Path) -> Path:
    """Three volumes that a test may damage."""
    for name in (PLAIN, SWAPPED, "survey_2024_0002"):
        shutil.copytree(made / "train" / name, tmp_path / "few" / "train" / name)
    return tmp_path / "few"


@pytest.fixture
def config(compose: Compose) -> Compose:
    """Return a function that composes the task with its data in a folder."""

    def composed(folder: Path, *overrides: str) -> dict[str, Any]:
        shape = f"task.volumes.shape=[{SIDE},{SIDE},{DEPTH}]"
        return compose("task=dark_side", shape, f"paths.data={folder}", *overrides)

    return composed


def cut(work: Work) -> Path:
    slices.run(work)
    return work.staging


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def masks(samples: Samples) -> Any:
    assert samples.masks is not None
    return samples.masks.gather(slice(None))


@pytest.fixture
def whole(made: Path, config: Compose, work: MakeWork) -> Path:
    """All volumes but the one with an empty mask, cut by two threads."""
    job = work(config(made), "whole")
    return cut(replace(job, description=replace(job.description, resources=Resources(cpus=2))))


def test_sample_data_is_the_same_every_time(made: Path, tmp_path: Path) -> None:
    make("dark_side", tmp_path, "tiny")
    assert contents(tmp_path) == contents(made)
    assert len(list(made.glob("train/*/fault_*.npy"))) == 12
    assert len(list(made.glob("test/*/*.npy"))) == 2


def breaks(folder: Path) -> float:
    """How much more horizontal neighbours differ on faults than elsewhere, in all volumes of a folder of slices."""
    samples = Slices(axes=[0]).load(folder)
    cubes = samples.inputs.gather(slice(None)).astype(np.float32).reshape(-1, SIDE, SIDE, DEPTH)  # type: ignore[union-attr]
    steps = np.abs(np.diff(cubes, axis=1))[:, :, 1:] + np.abs(np.diff(cubes, axis=2))[:, 1:]
    on_fault = masks(samples).reshape(cubes.shape)[:, 1:, 1:] == 1
    return float(steps[on_fault].mean() / steps[~on_fault].mean())


@pytest.mark.parametrize("year", [2021, 2024])
def test_reflectors_are_broken_where_masks_have_faults(
    made: Path, config: Compose, work: MakeWork, tmp_path: Path, year: int
) -> None:
    """There is something to learn, and in volumes of 2024 there is none if amplitudes and masks do not match."""
    (tmp_path / "data").mkdir()
    for folder in (made / "train").glob(f"survey_{year}_*"):
        shutil.copytree(folder, tmp_path / "data" / "train" / folder.name)
    assert breaks(cut(work(config(tmp_path / "data"), "read"))) > 1.4
    as_stored = breaks(cut(work(config(tmp_path / "data", "task.volumes.swapped=[]"), "as stored")))
    assert (as_stored > 1.4) if year == 2021 else (as_stored < 1.2)


def test_volumes_with_empty_masks_are_left_out_and_named(
    made: Path, few: Path, config: Compose, work: MakeWork
) -> None:
    job = work(config(made))
    names = set(pd.read_parquet(cut(job) / "index.parquet")["volume"])
    assert len(names) == 11
    assert empty_volume_name() not in names
    assert not (job.staging / empty_volume_name()).exists()
    assert (job.outputs / "excluded.csv").read_text() == f"volume\n{empty_volume_name()}\n"
    listed = work(config(made, f"task.volumes.excluded=[{PLAIN}]"))
    assert len(pd.read_parquet(cut(listed) / "index.parquet")["volume"].unique()) == 11
    assert not (listed.outputs / "excluded.csv").exists()
    for file in few.glob("train/*/fault_*.npy"):
        np.save(file, np.zeros_like(np.load(file)))
    with pytest.raises(DataFailure, match="no volume has a fault"):
        slices.run(work(config(few), "empty"))
    with pytest.raises(ConfigFailure, match=r"task.volumes.excluded: 'none'; give auto or a list"):
        slices.run(work(config(few, "task.volumes.excluded=none"), "none"))


@pytest.mark.slow
def test_every_slice_and_mask_is_that_of_its_volume(made: Path, whole: Path) -> None:
    samples = Slices().load(whole)
    images, expected_masks = samples.inputs.gather(slice(None)), masks(samples)  # type: ignore[union-attr]
    assert images.shape == (11 * 2 * SIDE, 1, SIDE, DEPTH)
    for row in range(0, len(samples), 7):
        name, axis, position = samples.ids[row].split("/")
        cube = np.load(made / "train" / name / f"seismicCubes_{name}.npy").astype(np.float64)
        fault = np.load(made / "train" / name / f"fault_{name}.npy")
        if "2024" in name:
            cube = cube.swapaxes(0, 1)
        scaled = np.clip((cube - cube.mean()) / cube.std(), -4, 4)
        assert images[row, 0] == pytest.approx(scaled.take(int(position), int(axis)), abs=4e-3)
        assert np.array_equal(expected_masks[row], fault.take(int(position), int(axis)))
        assert samples.targets[row] == expected_masks[row].any()
    assert samples.groups is not None
    assert samples.groups.tolist() == [identifier.split("/")[0] for identifier in samples.ids]


def test_empty_masks_are_not_written(whole: Path) -> None:
    index = pd.read_parquet(whole / "index.parquet")
    for (volume, axis), rows in index.groupby(["volume", "axis"]):
        written = np.load(whole / str(volume) / f"masks{axis}.npy")
        assert written.any((1, 2)).all()
        assert len(written) == (rows["mask"] >= 0).sum()
        assert rows["faults"].sum() == written.sum()
    assert (index["mask"] < 0).mean() > 0.1


def test_upright_slices_are_turned_with_their_masks(whole: Path) -> None:
    upright, flat = Slices(vertical=True, axes=[1]).load(whole), Slices(axes=[1]).load(whole)
    assert upright.ids == flat.ids
    rows = np.asarray([30, 3])
    turned = upright.take(rows).inputs.gather(slice(None))  # type: ignore[union-attr]
    assert np.array_equal(turned.swapaxes(2, 3), flat.take(rows).inputs.gather(slice(None)))  # type: ignore[union-attr]
    assert np.array_equal(masks(upright.take(rows)).swapaxes(1, 2), masks(flat.take(rows)))


def test_volumes_stay_together_in_folds_that_do_not_depend_on_the_axes(whole: Path, config: Compose) -> None:
    task = config(whole)["task"]
    both, one = Slices().load(whole), Slices(axes=[1]).load(whole)
    assert both.groups is not None
    assert one.groups is not None
    seen: list[str] = []
    for fold in range(10):
        division, other = divide_samples(both, task, fold), divide_samples(one, task, fold)
        own = set(both.groups[division.val])
        assert own == set(one.groups[other.val])
        assert not own & set(both.groups[division.train])
        seen += own
        with_faults = drop_empty_slices(both, division.train)
        assert masks(both.take(with_faults)).any((1, 2)).all()
        assert not masks(both.take(np.setdiff1d(division.train, with_faults))).any()
    assert sorted(seen) == sorted(set(both.groups))


def test_volumes_without_known_faults_have_no_masks(made: Path, config: Compose, work: MakeWork) -> None:
    unlabelled = ("task.volumes.fault=null", f"task.volumes.path={made / 'test'}")
    samples = Slices(axes=[0]).load(cut(work(config(made, *unlabelled))))
    assert (len(samples), samples.masks, set(samples.targets)) == (2 * SIDE, None, {UNKNOWN})


def test_what_slices_come_from_is_noted(few: Path, config: Compose, work: MakeWork) -> None:
    read: list[Path] = []
    cut(work(config(few), reads=read.append))
    assert sorted(read) == sorted(few.glob("train/*/*.npy"))


def test_stopped_it_continues_with_what_is_whole(
    few: Path, config: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    original = slice_files.write_slices

    def noted(folder: Path, source: Any, volume: Any, plan: str) -> Any:
        written.append(volume.name)
        return original(folder, source, volume, plan)

    monkeypatch.setattr(slices, "write_slices", noted)
    done = [0]
    stopped = work(config(few), stop_requested=lambda: done[-1] == 2, progress=lambda n, total: done.append(n))
    with pytest.raises(RunInterrupted, match="stopped with 2 of 3 volumes done"):
        slices.run(stopped)
    first, second = written[:2]
    damaged = stopped.folder / "slices" / first / "slices1.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    written.clear()
    continued = cut(work(config(few)))
    assert second not in written
    assert first in written
    before = contents(continued)
    assert before == contents(cut(work(config(few), "afresh")))
    cube = few / "train" / PLAIN / f"seismicCubes_{PLAIN}.npy"
    np.save(cube, np.load(cube) ** 3)
    written.clear()
    changed = contents(cut(work(config(few))))
    assert written == [PLAIN]
    assert contents(continued) == before, "what was handed over is never written to"
    assert {name for name in before if before[name] != changed[name]} == {
        f"{PLAIN}/slices0.npy", f"{PLAIN}/slices1.npy",
    }  # fmt: skip
    written.clear()
    cut(work(config(few, "task.volumes.clip=2.0")))
    assert len(written) == 3
    slices.after_publish(stopped)
    assert not list(stopped.folder.iterdir())


@pytest.mark.slow
def test_killed_at_any_instant_it_ends_with_the_same_bytes(
    made: Path, whole: Path, config: Compose, tmp_path: Path
) -> None:
    given = config(made)
    (tmp_path / "config.json").write_text(json.dumps(given))
    places = [str(tmp_path / "config.json"), str(tmp_path / "killed")]
    program = [sys.executable, str(PROGRAM), "slices", *places, "1", "6", "0"]
    subprocess.run(program, check=True, capture_output=True)
    assert contents(tmp_path / "killed" / "staging") == contents(whole)


def saved(kind: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        [path] = (folder / "train" / SWAPPED).glob(f"{kind}_*.npy")
        np.save(path, change(np.load(path)))

    return damage


def added(kind: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "train" / SWAPPED / f"{kind}_2.npy").write_bytes(b"x")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda at: (at / "train" / SWAPPED / f"fault_{SWAPPED}.npy").unlink(), r"0001: has 0 files named fault_\*"),
        (added("seismicCubes"), r"2024_0001: has 2 files named seismicCubes_\*\.npy, and exactly one is needed"),
        (lambda at: (at / "train" / SWAPPED / f"fault_{SWAPPED}.npy").write_bytes(b"x"), "2024_0001.npy: cannot"),
        (saved("fault", lambda a: a[:, :-2]), r"fault_.*shape \[24, 22, 44\]; task"),
        (saved("seismicCubes", lambda a: a[:, :-2]), r"shape \[22, 24, 44\] after swapping axes 0 and 1; task"),
        (saved("fault", lambda a: a * 2), "2024_0001.npy: has a voxel of 2; give 1 for a fault and 0 for no fault"),
        (saved("seismicCubes", lambda a: a * np.nan), "2024_0001.npy: has an amplitude that is infinite"),
        (saved("seismicCubes", lambda a: a * 0), "2024_0001.npy: all amplitudes are 0; exclude the volume"),
        (saved("seismicCubes", lambda a: a.astype(str)), "2024_0001.npy: holds <U.*, not real numbers"),
        (lambda at: [shutil.rmtree(path) for path in (at / "train").iterdir()], "train: holds no volumes"),
    ],
)  # fmt: skip
def test_a_volume_that_cannot_be_used_is_named_with_its_file(
    few: Path, config: Compose, work: MakeWork, damage: Callable[[Path], None], says: str
) -> None:
    damage(few)
    with pytest.raises(DataFailure, match=says):
        slices.run(work(config(few)))


def test_settings_that_cannot_be_are_named(few: Path, config: Compose, work: MakeWork) -> None:
    with pytest.raises(
        ConfigFailure, match=r"task.volumes.excluded: .* no volume 'survey_2024_01' .did you mean 'survey_2024_0001'"
    ):
        slices.run(work(config(few, "task.volumes.excluded=[survey_2024_01]")))
    with pytest.raises(ConfigFailure, match=r"task.slices.axes: \[2\]"):
        Slices(axes=[2])


def test_slices_that_were_damaged_are_named(few: Path, config: Compose, work: MakeWork) -> None:
    folder = cut(work(config(few)))
    samples = Slices().load(folder)
    file = folder / SWAPPED / "slices1.npy"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(DataFailure, match=r"slices1\.npy: is cut short at image \d+; run the stage"):
        samples.inputs.gather(slice(None))  # type: ignore[union-attr]
    with pytest.raises(DataFailure, match=r"slices1\.npy: has 2000 bytes, which is not 24 images"):
        Slices().load(folder)
    np.save(file, np.zeros((SIDE, SIDE, DEPTH)))
    with pytest.raises(DataFailure, match=r"slices1\.npy: holds float64 .*, which is not an array of slices"):
        Slices().load(folder)
    file.unlink()
    with pytest.raises(DataFailure, match=r"slices1\.npy: cannot be read as slices"):
        Slices().load(folder)
    assert len(Slices(axes=[0]).load(folder)) == 3 * SIDE


def test_batches_hold_slices_with_their_masks_and_leave_empty_ones_out_of_training(
    whole: Path, config: Compose
) -> None:
    given = config(whole, "fold=3", "task.slices.axes=[0]")
    all_slices, faulted = (
        load_data({**given, "task": {**given["task"], "empty_slices": empty}}, lambda path: None, {"parent": whole})
        for empty in (True, False)
    )
    assert all_slices.evaluation_splits["val"].ids == faulted.evaluation_splits["val"].ids
    assert len(all_slices.train) > len(faulted.train)
    order = TrainingOrder(faulted.train.targets, 0)
    blocks = TrainingBlocks(faulted.train, order, Position(), batch_size=7, drop_last=False, batches_per_block=4)
    seen = [row for block in blocks for batch in block.batches for row in batch.targets]
    assert len(seen) == len(faulted.train)
    assert all(mask.shape == (SIDE, DEPTH) and mask.any() for mask in seen)
    validation = all_slices.evaluation_splits["val"]
    [*batches] = EvaluationBatches(validation, 7)
    assert np.array_equal(np.concatenate([batch.targets for batch in batches]), masks(validation))
    assert sum(len(batch.inputs) for batch in batches) == len(validation)
