"""From tables of labels and image files to predictions of a network: the stages of a study of shifts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from seedfold.jobs.resources import Resources
from seedfold.jobs.work import ConfigFailure, DataFailure, RunInterrupted, Work
from seedfold.trainers.data.batches import Position, TrainingBlocks
from seedfold.trainers.data.image_cache import CachedImages, npy_header
from seedfold.trainers.data.images import ImageFolder
from seedfold.trainers.data.job_data import load_data
from seedfold.trainers.data.samples import Samples
from seedfold.trainers.data.sampling import TrainingOrder
from seedfold.trainers.stages import fit_predict
from seedfold.trainers.studies.prevalence_shifts import create_stage as create
from seedfold.trainers.studies.prevalence_shifts import preprocess_stage as preprocess
from seedfold.trainers.studies.prevalence_shifts import split_stage as split
from seedfold.trainers.studies.sample_data import make

pytest.importorskip("PIL")

Compose = Callable[..., dict[str, Any]]
MakeWork = Callable[..., Work]
Parents = dict[str, Path]

TASK = "brain_tumor_classification"
SMALL = ("task.size=[16,16]", "task.class_counts=null")
PROGRAM = Path(__file__).parents[2] / "stage_program.py"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sample data that tests only read."""
    folder = tmp_path_factory.mktemp("data")
    make("prevalence_shifts", folder, "tiny")
    return folder


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Forty images of one task that a test may damage."""
    from PIL import Image

    images = tmp_path / "few" / TASK / "images"
    images.mkdir(parents=True)
    names = [f"{number}.png" for number in range(40)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((20, 24), 6 * number, dtype=np.uint8)).save(images / name)
    rows = [f"s{number},{name},{number % 2}" for number, name in enumerate(names)]
    (images.parent / "labels.csv").write_text("\n".join(["sample_id,file,label", *rows, ""]))
    return tmp_path / "few"


@pytest.fixture
def config(compose: Compose) -> Compose:
    """Return a function that composes the task with its data in a folder."""

    def composed(folder: Path, *overrides: str) -> dict[str, Any]:
        given = compose(f"task={TASK}", *SMALL, f"paths.data={folder}", *overrides)
        return {**given, "split_seed": 1337}

    return composed


def ran(stage: Any, work: Work) -> Path:
    stage.run(work)
    return work.staging


@pytest.fixture
def parents(data: Path, config: Compose, work: MakeWork) -> Parents:
    """What the stages before training leave."""
    task = config(data)
    registered = {"create": ran(create, work(task))}
    return {
        "preprocess": ran(preprocess, work(task, "cache", parents=registered)),
        "split": ran(split, work(task, parents=registered)),
    }


def values(folder: Path) -> Any:
    return json.loads((folder / "values.json").read_text())


def label_table(folder: Path) -> Path:
    return folder / TASK / "labels.csv"


def test_the_manifest_lists_every_image_of_every_task(data: Path, compose: Compose, work: MakeWork) -> None:
    reads: list[Path] = []
    staging = ran(create, work(compose("tasks=prevalence_shifts_tiny", f"paths.data={data}"), reads=reads.append))
    manifest = pd.read_parquet(staging / "manifest.parquet")
    assert list(manifest) == ["task", "sample_id", "file", "target", "bytes"]
    for task, rows in manifest.groupby("task"):
        table = pd.read_csv(data / str(task) / "labels.csv")
        assert rows["sample_id"].tolist() == table["sample_id"].tolist()
        assert rows["target"].tolist() == table["label"].tolist()
        sizes = [(data / str(task) / "images" / name).stat().st_size for name in table["file"]]
        assert rows["bytes"].tolist() == sizes
        assert values(staging)["class_counts"][task] == table["label"].value_counts().sort_index().tolist()
    assert [read.parent.name for read in reads] == sorted(manifest["task"].unique())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("s7,7.png,1", r"labels\.csv: rows 8 and 41 have the same id 's7'"),
        ("s40,gone.png,1", r"labels\.csv: row 41 names .*gone\.png, which does not exist"),
        ("s40,1.png,2", r"labels\.csv: row 41 \(s40\) has target 2; task.classes is 2"),
        ("s40,1.png,cat", r"labels\.csv: row 41 has target 'cat'"),
        (",1.png,1", r"labels\.csv: row 41 has no 'sample_id'"),
    ],
)
def test_a_row_that_cannot_be_is_named(few: Path, config: Compose, work: MakeWork, line: str, says: str) -> None:
    with label_table(few).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataFailure, match=says):
        create.run(work(config(few)))


def test_an_unknown_column_and_an_unreadable_image_are_named(few: Path, config: Compose, work: MakeWork) -> None:
    with pytest.raises(DataFailure, match=r"labels\.csv: no column 'labels' \(did you mean 'label'\?\)"):
        create.run(work(config(few, "task.source.target=labels")))
    (few / TASK / "images" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(DataFailure, match=r"3\.png: cannot be read as an image"):
        preprocess.run(work(config(few)))


@pytest.mark.slow
def test_the_cache_has_every_image_resized_and_numpy_maps_it(parents: Parents, data: Path, config: Compose) -> None:
    images = np.load(parents["preprocess"] / "images.npy", mmap_mode="r")
    index = pd.read_parquet(parents["preprocess"] / "index.parquet")
    source = ImageFolder(**{k: v for k, v in config(data)["task"]["source"].items() if k != "_target_"})
    whole = source.load(lambda path: None)
    assert images.dtype == np.uint8
    assert images.shape == (240, 3, 16, 16)
    assert np.array_equal(images.astype(np.float32) / np.float32(255), whole.inputs)
    assert tuple(index["sample_id"]) == whole.ids
    assert index["target"].tolist() == whole.targets.tolist()


def test_sixteen_bits_become_eight(few: Path, config: Compose, work: MakeWork) -> None:
    from PIL import Image

    Image.fromarray(np.full((20, 24), 200 * 256 + 17, dtype=np.uint16)).save(few / TASK / "images" / "0.png")
    images = np.load(ran(preprocess, work(config(few))) / "images.npy")
    assert set(images[0].ravel()) == {200}


class Decoded:
    """Notes which files are decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: set[str] = set()
        decode = ImageFolder.decode

        def noted(source: ImageFolder, file: Path, content: bytes) -> Any:
            self.names.add(file.name)
            return decode(source, file, content)

        monkeypatch.setattr(ImageFolder, "decode", noted)
        monkeypatch.setattr("seedfold.trainers.studies.prevalence_shifts.partial_cache._CHUNK_BYTES", 4 * 16 * 16 * 3)


def test_stopped_it_continues_with_what_is_whole(
    few: Path, config: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, done = Decoded(monkeypatch), [0]

    def stop_halfway() -> bool:
        return done[-1] >= 20

    stopped = work(config(few), stop_requested=stop_halfway, progress=lambda n, total: done.append(n))
    with pytest.raises(RunInterrupted, match="stopped with 20 of 40 images done"):
        preprocess.run(stopped)
    partial = stopped.folder / "cache"
    with (partial / "journal.jsonl").open("a") as journal:
        journal.write('{"start": 20, "sha')
    with (partial / "images.npy").open("r+b") as images:
        images.seek(128 + 5 * 16 * 16 * 3)
        images.write(b"x")
    os.utime(few / TASK / "images" / "9.png", ns=(1, 1))
    decoded.names.clear()
    continued = ran(preprocess, work(config(few)))
    again = {int(name.removesuffix(".png")) for name in decoded.names}
    assert {4, 5, 6, 7} <= again, "damaged pixels"
    assert {8, 9, 10, 11} <= again, "a file that changed"
    assert not again & {0, 1, 2, 3, 12, 13, 14, 15, 16, 17, 18, 19}, "done, and as it was"
    afresh = ran(preprocess, work(config(few), "afresh"))
    assert (continued / "images.npy").read_bytes() == (afresh / "images.npy").read_bytes()


def test_what_was_published_is_never_written_to(
    few: Path, config: Compose, work: MakeWork, published: Callable[[Work], Work]
) -> None:
    first = work(config(few))
    preprocess.run(first)
    kept = published(first).staging / "images.npy"
    before = kept.read_bytes()
    (few / TASK / "images" / "9.png").write_bytes((few / TASK / "images" / "3.png").read_bytes())
    again = np.load(ran(preprocess, work(config(few))) / "images.npy")
    assert np.array_equal(again[9], again[3])
    assert kept.read_bytes() == before
    preprocess.after_publish(first)
    assert not (first.folder / "cache").exists()


def test_other_settings_begin_anew(few: Path, config: Compose, work: MakeWork) -> None:
    wide, high = (config(few, f"task.size={size}") for size in ("[16,24]", "[24,16]"))
    shutil.rmtree(ran(preprocess, work(wide)))
    after_wide, alone = ran(preprocess, work(high)), ran(preprocess, work(high, "alone"))
    assert (after_wide / "images.npy").read_bytes() == (alone / "images.npy").read_bytes()


@pytest.mark.slow
def test_killed_at_any_instant_it_ends_with_the_same_bytes(
    data: Path, config: Compose, work: MakeWork, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config(data)))
    places = [str(tmp_path / "config.json"), str(tmp_path / "killed")]
    subprocess.run([sys.executable, str(PROGRAM), "preprocess", *places, "3", "6", "0"], check=True)
    whole = ran(preprocess, work(config(data)))
    for name in ("images.npy", "index.parquet"):
        assert (tmp_path / "killed" / "staging" / name).read_bytes() == (whole / name).read_bytes()


def test_threads_of_the_job_share_the_work(data: Path, config: Compose, work: MakeWork) -> None:
    one = work(config(data), "one")
    four = work(config(data), "four")
    job = replace(four.description, resources=Resources(cpus=4))
    assert (ran(preprocess, one) / "images.npy").read_bytes() == (
        ran(preprocess, replace(four, description=job)) / "images.npy"
    ).read_bytes()


def test_split_tables_of_all_tasks_are_those_of_each(
    data: Path, parents: Parents, compose: Compose, work: MakeWork
) -> None:
    every = ran(split, work({**compose("tasks=prevalence_shifts_tiny", f"paths.data={data}"), "split_seed": 1337}))
    assert (every / TASK / "split.csv").read_bytes() == (parents["split"] / "split.csv").read_bytes()
    assert values(every)[TASK] == values(parents["split"])


def test_a_class_that_is_too_small_is_named_with_its_task(few: Path, config: Compose, work: MakeWork) -> None:
    table = label_table(few).read_text().splitlines()
    label_table(few).write_text("\n".join([table[0], *(row[:-1] + "0" for row in table[1:])]))
    with pytest.raises(DataFailure, match=f"task {TASK}, class 1: has 0 samples"):
        split.run(work(config(few)))


@pytest.mark.slow
def test_a_network_trains_on_the_cache_and_predicts_every_split(
    parents: Parents, data: Path, config: Compose, work: MakeWork
) -> None:
    given = config(data, *TRAINING, "trainer.max_epochs=12")
    given["task"]["class_counts"] = values(parents["split"])["class_counts"]
    job = work(given, "training", parents=parents)
    fit_predict.run(job)
    table = pd.read_csv(parents["split"] / "split.csv")
    for name in ("dev_cal", "dev_test", "app_test"):
        rows = pd.read_parquet(job.staging / f"predictions.{name}.parquet")
        expected = table[table["split"] == name]
        assert sorted(rows["sample_id"]) == expected["sample_id"].tolist()
        truth = expected.set_index("sample_id")["target"]
        assert rows["target"].tolist() == truth[rows["sample_id"]].tolist()
    correct = rows[["logit_0", "logit_1"]].to_numpy().argmax(axis=1) == rows["target"]
    assert correct.mean() > 0.8
    epochs = pd.read_csv(job.staging / "epochs.csv")
    best = json.loads((job.folder / "fit.json").read_text())["best"]["value"]
    assert best == epochs["val/loss"].min()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_training_on_the_cache_gives_the_bits_of_training_in_memory(
    parents: Parents, data: Path, config: Compose, work: MakeWork, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    given = config(data, *TRAINING, "augment=mild", "trainer.max_epochs=1", f"trainer.precision={precision}")
    cached = work(given, "cached", parents=parents)
    fit_predict.run(cached)
    job_data = load_data(given, lambda path: None, parents)

    def in_memory(samples: Any) -> Any:
        pixels = samples.inputs.gather(slice(None))
        return replace(samples, inputs=pixels.astype(np.float32) / np.float32(255))

    held = replace(
        job_data,
        train=in_memory(job_data.train),
        evaluation_splits={name: in_memory(samples) for name, samples in job_data.evaluation_splits.items()},
    )
    monkeypatch.setattr(fit_predict, "load_data", lambda *arguments: held)
    memory = work(given, "memory")
    fit_predict.run(memory)
    for file in memory.staging.iterdir():
        assert (cached.staging / file.name).read_bytes() == file.read_bytes()


TRAINING = (
    "model=small_cnn", "loss=cross_entropy", "optimizer=adam", "schedule=plateau", "sampling=balanced",
    "trainer=early_stopping", "checkpoint=default", "predict=default", "predict.splits=[dev_cal,dev_test,app_test]",
    "optimizer.lr=5e-3", "trainer.batch_size=32",
)  # fmt: skip


def test_what_does_not_fit_together_is_told_when_a_job_starts(
    parents: Parents, data: Path, few: Path, config: Compose, work: MakeWork
) -> None:
    given = config(data, *TRAINING)

    def failing(parents: Parents, **task: Any) -> Any:
        return work({**given, "task": {**given["task"], **task}}, parents=parents)

    with pytest.raises(DataFailure, match=r"class 1 of brain_tumor_classification has 63 samples .* says 64"):
        fit_predict.run(failing(parents, class_counts=[81, 64]))
    with pytest.raises(ConfigFailure, match=r"after: 0 of the parent jobs left images.npy"):
        fit_predict.run(failing({"split": parents["split"]}))
    other = ran(split, work(config(few)))
    with pytest.raises(DataFailure, match=r"split\.csv: does not list the samples in .*images\.npy"):
        fit_predict.run(failing({**parents, "split": other}))
    with pytest.raises(ConfigFailure, match=r"predict.splits: 'val' is not one of dev_cal, dev_test, app_test"):
        fit_predict.run(work({**given, "predict": {"splits": ["val"]}}, parents=parents))
    estimator = {**given, "model": {"_target_": "sklearn.linear_model.LogisticRegression"}}
    with pytest.raises(ConfigFailure, match="an estimator needs all inputs in memory"):
        fit_predict.run(work(estimator, "estimator", parents=parents))
    with (parents["preprocess"] / "images.npy").open("r+b") as images:
        images.truncate(1000)
    with pytest.raises(DataFailure, match=r"images\.npy: has 1000 bytes, which is not 240 images"):
        fit_predict.run(failing(parents))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_cache(tmp_path: Path) -> None:
    count, shape = 8000, (3, 256, 256)
    with (tmp_path / "images.npy").open("xb") as file:  # 1.5 GB of zeros that take no room
        file.write(npy_header((count, *shape)))
        file.truncate(file.tell() + count * 3 * 256 * 256)
    targets = np.zeros(count, dtype=np.int64)
    samples = Samples(tuple(map(str, range(count))), CachedImages(tmp_path / "images.npy"), targets)
    blocks = TrainingBlocks(
        samples, TrainingOrder(targets, 0), Position(), batch_size=50, drop_last=False, batches_per_block=32
    )
    process, most, seen = psutil.Process(), 0, 0
    before = process.memory_info().rss
    for block in blocks:
        most = max(most, process.memory_info().rss)
        seen += sum(len(batch.targets) for batch in block.batches)
    assert seen == count
    assert most - before < 500 * 1024**2
