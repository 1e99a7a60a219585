"""From slices and their masks to weights, and from weights to the masks of whole volumes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seedfold.jobs.work import ConfigFailure, DataFailure, RunInterrupted, Work
from seedfold.results.evaluation.overlaps import Overlap
from seedfold.trainers.data.folds import divide_samples
from seedfold.trainers.learning import exported_weights as exported
from seedfold.trainers.learning.exported_weights import EXPORTED_FILE, ExportedWeights, export_weights
from seedfold.trainers.setup.object_builder import build
from seedfold.trainers.stages import fit_masks, fit_predict
from seedfold.trainers.studies.dark_side import infer_stage as infer
from seedfold.trainers.studies.dark_side import mean_masks_stage as mean_masks
from seedfold.trainers.studies.dark_side import slices_stage as slices
from seedfold.trainers.studies.dark_side.slices import Slices
from seedfold.trainers.studies.sample_data import make

pytest.importorskip("monai")

Compose = Callable[..., dict[str, Any]]
MakeWork = Callable[..., Work]
Publish = Callable[[Work], Work]

CUBE = (24, 24, 44)
KNOWN = ("survey_2021_0000", "survey_2024_0001", "survey_2024_0002", "survey_2024_0004")
HELD_OUT = 2
JOB_FOLDER = "fold=1-0123456789ab"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make("dark_side", folder / "made", "tiny")
    (folder / "train").mkdir()
    for name in KNOWN:
        (folder / "made" / "train" / name).rename(folder / "train" / name)
    (folder / "made" / "test").rename(folder / "test")
    return folder


@pytest.fixture
def config(data: Path, compose: Compose) -> Compose:
    """Return a function that composes the study with four volumes with known faults, two of them held out."""

    def composed(*overrides: str) -> dict[str, Any]:
        return compose(
            "experiment=dark_side", "size=tiny", f"paths.data={data}",
            "task.test.fraction=0.5", "task.folds.k=2", "trainer.max_epochs=2", "trainer.batch_size=16",
            "optimizer.lr=0.01", "model.channels=[4,8]", *overrides,
        )  # fmt: skip

    return composed


@pytest.fixture
def parents(config: Compose, work: MakeWork, published: Publish) -> dict[str, Path]:
    """The published slices of the volumes with known faults, and of the others."""
    known = {key: value for key, value in config().items() if key != "new_volumes"}
    new = {key: value for key, value in config().items() if key != "task"}
    found = {}
    for name, given in (("slices", known), ("new_slices", new)):
        job = work(given, name)
        slices.run(job)
        found[name] = published(job).staging
    return found


def training(
    config: Compose, parents: dict[str, Path], work: MakeWork, fit: str, *overrides: str, **parts: Any
) -> Work:
    return work(config(*overrides), fit, parents={"slices": parents["slices"]}, **parts)


def test_metrics_of_an_epoch_are_those_of_its_weights_on_all_validation_slices(
    config: Compose, parents: dict[str, Path], work: MakeWork
) -> None:
    job = training(config, parents, work, "fit", "augment.level=2")
    fit_masks.run(job)
    epochs = pd.read_csv(job.staging / "epochs.csv")
    assert len(epochs) == 2
    best = epochs.loc[epochs["val/dice"].idxmax()]
    kept = exported.read_exported(job.outputs / EXPORTED_FILE)
    assert kept.epoch == best["epoch"]
    samples = Slices().load(parents["slices"])
    rows = divide_samples(samples, job.config["task"], 0).val
    assert samples.masks is not None
    images, masks = samples.inputs[rows].gather(slice(None)), samples.masks[rows].gather(slice(None))  # type: ignore[union-attr]
    with torch.inference_mode():
        found = kept.make_network().eval()(torch.from_numpy(images).float()).argmax(1).numpy()
    overlap = Overlap.from_masks(found == 1, masks == 1)
    assert best["val/dice"] == pytest.approx(overlap.dice, abs=1e-3)
    metrics = {each["metric"]: each["value"] for each in json.loads((job.staging / "metrics.json").read_text())}
    assert metrics == {"dice": best["val/dice"], "jaccard": best["val/jaccard"]}


@pytest.mark.slow
def test_training_goes_on_from_any_checkpoint_with_the_same_bits(
    config: Compose, parents: dict[str, Path], work: MakeWork
) -> None:
    """A job that is stopped after every second step, and in between killed after a checkpoint by time."""
    given = ("augment.level=2", "trainer.batch_size=4", "trainer.accumulate=2", "checkpoint.every_seconds=0")
    whole = training(config, parents, work, "whole", *given)
    fit_masks.run(whole)
    attempts, ended = 0, False
    while not ended:
        attempts += 1
        asked = iter([False, attempts % 2 == 0, True])
        job = training(config, parents, work, "stopped", *given, stop_requested=lambda: next(asked, True))  # noqa: B023
        try:
            fit_masks.run(job)
            ended = True
        except RunInterrupted:
            continue
    assert attempts > 4
    assert (job.staging / "epochs.csv").read_bytes() == (whole.staging / "epochs.csv").read_bytes()
    first, second = (exported.read_exported(each.outputs / EXPORTED_FILE) for each in (job, whole))
    assert all(torch.equal(value, second.state_dict[name]) for name, value in first.state_dict.items())


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("trainer.metrics=[dise]", "trainer.metrics: masks have no 'dise' .did you mean 'dice'"),
        ("augment.level=3", "augment.level: 3 is not among 0 to 2"),
        ("predict.weights=.", "predict: this job only trains; another stage predicts other volumes"),
    ],
)
def test_settings_of_training_that_cannot_be_are_named(
    config: Compose, parents: dict[str, Path], work: MakeWork, override: str, says: str
) -> None:
    with pytest.raises(ConfigFailure, match=says):
        fit_masks.run(training(config, parents, work, "fit", override))


def test_runs_for_classes_and_for_masks_name_each_other(
    config: Compose, parents: dict[str, Path], work: MakeWork, compose: Compose
) -> None:
    with pytest.raises(ConfigFailure, match=r"run: the samples have masks; use seedfold.trainers.stages.fit_masks.run"):
        fit_predict.run(training(config, parents, work, "fit"))
    with pytest.raises(
        ConfigFailure, match=r"run: the samples have no masks; use seedfold.trainers.stages.fit_predict.run"
    ):
        fit_masks.run(work(compose("experiment=breast_cancer")))
    unknown = work(config(), parents={"slices": parents["new_slices"]})
    with pytest.raises(DataFailure, match="the faults of its volumes are not known"):
        fit_masks.run(unknown)


def test_masks_move_with_their_images(config: Compose) -> None:
    torch.manual_seed(0)
    blobs = torch.nn.functional.avg_pool2d(torch.randn(40, 1, 24, 44), 9, 1, 4) > 0.05
    images, masks = blobs.float(), blobs[:, 0].to(torch.uint8)
    for level in (0, 1):
        augment = build(config(f"augment.level={level}")["augment"], "augment")
        moved, moved_masks = augment(images, masks, torch.Generator().manual_seed(1))
        assert torch.equal(moved[:, 0], moved_masks.float())
        changed = [not torch.equal(*pair) for pair in zip(moved_masks, masks, strict=True)]
        assert (sum(changed) == 0) if level == 0 else (8 < sum(changed) < 32)
    flipped = next(row for row, each in enumerate(changed) if each)
    assert torch.equal(moved_masks[flipped], masks[flipped].flip(0))
    augment = build(config("augment.level=2")["augment"], "augment")
    moved, moved_masks = augment(images, masks, torch.Generator().manual_seed(1))
    middle = (moved.amax((2, 3)) + moved.amin((2, 3)))[..., None] / 2
    agree = ((moved[:, 0] > middle) == moved_masks.bool()).float().mean()
    assert agree > 0.99
    assert moved_masks.dtype == torch.uint8


def shifting(*rows: int) -> ExportedWeights:
    """A network that needs no training: the logit of a fault is 3 times the amplitude, some rows of the image above."""
    network = torch.nn.Conv2d(1, 2, 3, padding=1, bias=False)
    weights = torch.zeros(2, 1, 3, 3)
    for row in rows:
        weights[1, 0, 1 - row, 1] += 3 / len(rows)
    network.load_state_dict({"weight": weights})
    node = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 3, "padding": 1}
    return ExportedWeights(node | {"bias": False}, network.state_dict(), upright=False, epoch=0)


def inference(
    config: Compose, work: MakeWork, parents: dict[str, Path], fit: str, *overrides: str, **parts: Any
) -> Work:
    return work(config(*overrides), fit, parents=parents, **parts)


def amplitudes(folder: Path, name: str) -> Any:
    return np.load(folder / name / "slices0.npy").astype(np.float32)


def sigmoid(logits: Any) -> Any:
    return 1 / (1 + np.exp(-logits))


def moved(values: Any, axis: int, places: int) -> Any:
    """Shift along an axis; zeros come in."""
    shifted = np.roll(values, places, axis)
    edge = [slice(None)] * 3
    edge[axis] = slice(0, 1) if places > 0 else slice(-1, None)
    shifted[tuple(edge)] = 0
    return shifted


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder with two networks, of which one wants slices upright."""
    export_weights(tmp_path / "kept" / "a" / EXPORTED_FILE, shifting(1))
    export_weights(tmp_path / "kept" / JOB_FOLDER / EXPORTED_FILE, replace(shifting(0), upright=True))
    return tmp_path / "kept"


@pytest.mark.slow
def test_every_voxel_is_looked_at_along_each_axis_in_each_orientation(
    config: Compose, parents: dict[str, Path], work: MakeWork, weights: Path
) -> None:
    job = inference(config, work, parents, "fit", f"infer.weights={weights}", "trainer.eval_batch_size=7")
    infer.run(job)
    volumes = pd.read_csv(job.staging / "volumes.csv")
    assert volumes["part"].tolist() == ["test"] * HELD_OUT + ["new"] * 2
    assert volumes["networks"].unique().tolist() == [2]
    both_axes = Slices().load(parents["slices"])
    assert both_axes.groups is not None
    unseen = set(both_axes.groups[divide_samples(both_axes, job.config["task"], 0).test])
    assert set(volumes["volume"][volumes["part"] == "test"]) == unseen, "as training along both axes holds them out"
    for row in volumes.itertuples():
        found = np.load(job.staging / str(row.part) / f"{row.volume}.npy")
        image = amplitudes(parents["slices" if row.part == "test" else "new_slices"], str(row.volume))
        # Along axis 0 the height of a slice is axis 1, and the other way round; mirrored, it is shifted the other way.
        looks = [sigmoid(3 * moved(image, axis, places)) for axis in (1, 0) for places in (1, -1)]
        expected = (np.mean(looks, axis=0) + sigmoid(3 * image)) / 2
        assert found.shape == CUBE
        assert found.dtype == np.float16
        assert found == pytest.approx(expected, abs=2e-3)
    _check_overlaps(job, parents["slices"])


def _check_overlaps(job: Work, folder: Path) -> None:
    table = pd.read_csv(job.staging / "overlaps.csv")
    assert len(table) == HELD_OUT * (2 * 2 * 2 + 1)
    assert set(table["network"]) == {"Conv2d", "Conv2d vertical", "mean"}
    name = table["volume"][0]
    fault = np.load(job.config["paths"]["data"] + f"/train/{name}/fault_{name}.npy")
    own = table[table["volume"] == name].set_index(["network", "axis", "orientation"]).sort_index()
    assert (own["true"] == fault.sum()).all()
    found = moved(amplitudes(folder, name), 0, -1) > 0
    assert own.loc[("Conv2d", 1, "mirrored"), ["common", "found"]].tolist() == [
        (found & (fault == 1)).sum(),
        found.sum(),
    ]
    mean = np.load(job.staging / "test" / f"{name}.npy") > 0.5
    assert own.loc[("mean",), ["common", "found"]].to_numpy().tolist() == [[(mean & (fault == 1)).sum(), mean.sum()]]


def test_inference_that_was_stopped_goes_on_with_what_is_whole(
    config: Compose, parents: dict[str, Path], work: MakeWork, weights: Path, results: Any
) -> None:
    given = (f"infer.weights={weights / 'a'}", "trainer.eval_batch_size=24")
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 10

    stopped = inference(config, work, parents, "stopped", *given, stop_requested=stop)
    with pytest.raises(RunInterrupted, match="stopped in volume"):
        infer.run(stopped)
    first, *others = sorted((stopped.folder / "volumes" / "test").glob("*.npy"))
    assert len(others) == 1, "four looks at each volume, and the stop at the second look at the third"
    others[0].write_bytes(others[0].read_bytes()[:-1] + b"x")
    before = first.stat().st_mtime_ns, others[0].stat().st_mtime_ns
    continued, whole = (inference(config, work, parents, fit, *given) for fit in ("stopped", "whole"))
    infer.run(continued)
    infer.run(whole)
    assert first.stat().st_mtime_ns == before[0]
    assert others[0].stat().st_mtime_ns > before[1]
    for file in (path for path in whole.staging.rglob("*") if path.is_file()):
        assert file.read_bytes() == (continued.staging / file.relative_to(whole.staging)).read_bytes()
    infer.after_publish(continued)
    assert not (continued.folder / "volumes").exists()


@pytest.mark.slow
def test_the_ensemble_is_the_mean_of_its_parents_with_the_axes_of_masks(
    config: Compose, parents: dict[str, Path], work: MakeWork, published: Publish, weights: Path
) -> None:
    jobs = []
    for number, name in enumerate(("a", JOB_FOLDER)):
        job = inference(config, work, parents, name, f"infer.weights={weights / name}", f"fold={number}")
        infer.run(job)
        named = replace(job.description, id=name * 64, stage="infer", axes={"fold": number})
        jobs.append(published(replace(job, description=named)))
    above = {job.description.id: job.staging for job in jobs} | parents
    stages = {job.description.id: "infer" for job in jobs}
    first, again = (
        work(config("ensemble.threshold=0.6", f"ensemble.pictures={count}"), parents=above, stages=stages)
        for count in (1, 0)
    )
    mean_masks.run(first)
    mean_masks.run(again)
    archive = first.outputs / "submission.npz"
    assert archive.read_bytes() == (again.outputs / "submission.npz").read_bytes()
    with np.load(archive) as masks, zipfile.ZipFile(archive) as zipped:
        assert len(zipped.namelist()) == 2
        for name, mask in masks.items():
            mean = np.mean([np.load(job.staging / "new" / f"{name}.npy").astype(np.float32) for job in jobs], axis=0)
            assert mask.dtype == np.uint8
            assert np.array_equal(mask, mean > 0.6)
    with np.load(first.outputs / "known.npz") as masks:
        assert len(masks.files) == HELD_OUT
    _check_scores(first, jobs)
    other = work(config(), parents={"a": jobs[0].staging, **parents, "b": _without_new(jobs[1].staging)})
    with pytest.raises(ConfigFailure, match="fold=1 has predicted other volumes than fold=0"):
        mean_masks.run(other)


def _without_new(folder: Path) -> Path:
    table = folder / "volumes.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(keepends=True) if "new" not in line))
    return folder


def _check_scores(work: Work, jobs: list[Work]) -> None:
    table = pd.read_csv(work.outputs / "dice.csv")
    assert table.groupby("model").size().to_dict() == {
        "Conv2d": 5,
        "Conv2d vertical": 5,
        "ensemble": 1,
        "everything": 1,
    }
    assert table["model"].tolist()[:2] == ["ensemble", "everything"]
    by_model = table[table["axis"].isna()].set_index("model")
    everything = by_model.loc["everything"]
    assert everything["found"] == HELD_OUT * np.prod(CUBE)
    assert everything["recall"] == 1
    faults, found, common = 0, 0, 0
    for path in (jobs[0].staging / "test").glob("*.npy"):
        mean = np.mean([np.load(job.staging / "test" / path.name).astype(np.float32) for job in jobs], axis=0) > 0.6
        fault = np.load(work.config["paths"]["data"] + f"/train/{path.stem}/fault_{path.stem}.npy")
        faults, found, common = faults + fault.sum(), found + mean.sum(), common + (mean & (fault == 1)).sum()
    assert by_model.loc["ensemble", "dice"] == pytest.approx(2 * common / (faults + found))
    kept = {
        (each["head"], each["metric"]): each["value"]
        for each in json.loads((work.staging / "metrics.json").read_text())
    }
    assert kept["ensemble", "dice"] == by_model.loc["ensemble", "dice"]
    assert {path.name for path in work.outputs.iterdir()} == {
        "dice.csv", "dice_volumes.csv", "dice.svg", "slices.png", "submission.npz", "known.npz",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "kind", "says"),
    [
        (["infer.weights={here}"], DataFailure, r"has no weights.ckpt, at any depth"),
        (["infer.weights={kept}", "infer.axes=[2]"], ConfigFailure, r"infer.axes: \[2\]; give some of \[0, 1\]"),
        (
            ["infer.weights={kept}", "infer.known=some"],
            ConfigFailure,
            "infer.known: 'some' is not one of held_out, all",
        ),
        (["infer.wheights={kept}"], ConfigFailure, "infer.wheights: unknown key .did you mean 'weights'"),
        ([], ConfigFailure, "infer.weights: no parent has trained a network"),
    ],
)
def test_inference_that_cannot_be_says_why(
    config: Compose, parents: dict[str, Path], work: MakeWork, weights: Path, overrides: list[str], kind: Any, says: str
) -> None:
    (weights / "empty").mkdir()
    given = [f"+{each}".format(kept=weights, here=weights / "empty") for each in overrides]
    with pytest.raises(kind, match=says):
        infer.run(inference(config, work, parents, "fit", *given))


def test_weights_that_are_damaged_or_do_not_fit_are_named(tmp_path: Path) -> None:
    good = tmp_path / EXPORTED_FILE
    export_weights(good, shifting(0))
    assert torch.equal(exported.read_exported(good).state_dict["weight"], shifting(0).state_dict["weight"])
    with pytest.raises(ConfigFailure, match=r"model: the weights are not those of torch\.nn\.Conv2d"):
        replace(shifting(0), model={**shifting(0).model, "kernel_size": 5}).make_network()
    good.write_bytes(good.read_bytes()[:-300])
    with pytest.raises(DataFailure, match=r"weights.ckpt: cannot be read as exported weights"):
        exported.read_exported(good)
