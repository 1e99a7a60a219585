from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.archive import add_archive
from seedfold.trainers.data.folds import divide_samples, make_shards, make_task_shards
from seedfold.trainers.data.job_data import load_data
from seedfold.trainers.data.tfrecord_example import serialize_example
from seedfold.trainers.data.tfrecord_framing import write_records
from seedfold.trainers.setup.object_builder import build
from seedfold.trainers.studies.sample_data import make

pytest.importorskip("PIL")
Compose = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("melanoma")
    make("melanoma", folder, "tiny")
    return folder


def config(compose: Compose, data: Path, *overrides: str) -> dict[str, Any]:
    small = ("task.side=8", "task.archive.use=true", f"paths.data={data}", "resources.cpus=2")
    return compose("task=melanoma", *small, *overrides)


def read(path: Path) -> None:
    assert path.is_file()


@pytest.mark.slow
def test_training_shards_bring_the_archives_shards_of_twice_their_number(compose: Compose, data: Path) -> None:
    own, archive = (set(pd.read_csv(data / part / "train.csv")["image_name"]) for part in ("", "external"))
    task = config(compose, data)["task"]
    samples, added = (build(node, "task").load(read) for node in (task["source"], task["archive"]["source"]))
    shards, numbers = make_task_shards(samples, task), make_shards(added, task["archive"]["shards"], "archive")
    assert shards is not None
    assert np.bincount(numbers).tolist() == [5] * 30
    for fold in range(3):
        found = load_data(config(compose, data, f"fold={fold}"), read)
        division = divide_samples(samples, task, fold)
        wanted = 2 * np.unique(shards[division.train])
        assert len(wanted) == 10
        assert set(found.train.ids) & archive == {added.ids[row] for row in np.flatnonzero(np.isin(numbers, wanted))}
        assert set(found.train.ids) & own == {samples.ids[row] for row in division.train}
        assert set(found.evaluation_splits["val"].ids) == {samples.ids[row] for row in division.val}
        assert not {*found.evaluation_splits["val"].ids, *found.evaluation_splits["test"].ids} & archive


def test_images_of_both_are_read_when_they_are_needed_or_held_in_memory(compose: Compose, data: Path) -> None:
    unread = load_data(config(compose, data), read).train
    held = load_data(
        config(compose, data, "task.source.in_memory=true", "task.archive.source.in_memory=true"), read
    ).train
    assert held.ids == unread.ids
    assert isinstance(held.inputs, np.ndarray)
    rows = np.random.default_rng(0).permutation(len(unread))[:60]
    assert np.array_equal(unread.targets, held.targets)
    assert np.allclose(unread.inputs[rows].gather(slice(None)) / 255, held.inputs[rows])  # type: ignore[union-attr]
    assert np.array_equal(unread.inputs.gather(rows[:5]), unread.inputs.gather(rows)[:5])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"folds": {"kind": "kfold", "k": 3, "seed": 0}}, "give task.folds.shards"),
        ({"archive.step": 3}, "task.archive: has no shard"),
        ({"archive.shards": "as_read"}, "task.archive.shards: as_read, but the samples of this source come in none"),
        ({"archive.shards": "as_red"}, "task.archive.shards: as_red, which is not a way to divide samples"),
        ({"archive.source.in_memory": True}, "either hold both this and task.source in memory, or neither"),
        ({"archive.source.size": [8, 4]}, "a sample has another size"),
    ],
)
def test_settings_that_cannot_be_say_what_to_do(compose: Compose, data: Path, given: dict[str, Any], says: str) -> None:
    task = config(compose, data)["task"]
    for key, value in given.items():
        *outer, last = key.split(".")
        node = task
        for name in outer:
            node = node[name]
        node[last] = value
    samples = build(task["source"], "task.source").load(read)
    with pytest.raises(ConfigFailure, match=says):
        add_archive(samples, np.arange(100), task, read)


def test_an_image_on_both_sides_is_refused_and_without_use_nothing_is_read(compose: Compose, data: Path) -> None:
    task = config(compose, data)["task"]
    samples = build(task["source"], "task.source").load(read)
    ours = build(task["archive"]["source"], "task.archive.source").load(read).ids[0]
    with pytest.raises(DataFailure, match=f"1 sample is also in the validation data \\({ours}\\)"):
        add_archive(replace(samples, ids=(ours, *samples.ids[1:])), np.arange(100), task, read)
    task["archive"] |= {"use": False, "source": None}
    same, train = add_archive(samples, np.arange(100), task, read)
    assert same is samples
    assert train.tolist() == list(range(100))


def test_shards_of_records_are_added_by_their_numbers(compose: Compose, data: Path, tmp_path: Path) -> None:
    for part, count in (("", 15), ("external", 30)):
        folder = tmp_path / part / "tfrecords"
        folder.mkdir(parents=True)
        for shard in range(count):
            rows = pd.read_csv(data / part / "train.csv")[["image_name", "target"]].iloc[shard::count]
            examples = [
                serialize_example(
                    {
                        "image_name": row.image_name.encode(),
                        "image": (data / part / "jpeg" / "train" / f"{row.image_name}.jpg").read_bytes(),
                        "target": int(row.target),
                    }
                )
                for row in rows.itertuples()
            ]
            write_records(folder / f"train{shard:02d}-{len(examples)}.tfrec", examples)
    small = ("task.side=8", "task.archive.use=true", f"paths.data={tmp_path}", "resources.cpus=2", "fold=1")
    given = compose("task=melanoma_tfrecords", *small)
    given["task"]["test_source"] = None
    found = load_data(given, read)
    own, archive = (pd.read_csv(data / part / "train.csv")["image_name"] for part in ("", "external"))
    validating = {row % 15 for row in range(len(own)) if own[row] in set(found.evaluation_splits["val"].ids)}
    assert len(validating) == 5
    wanted = {2 * shard for shard in range(15) if shard not in validating}
    assert set(found.train.ids) & set(archive) == {archive[row] for row in range(len(archive)) if row % 30 in wanted}
