"""The store against what people use instead: write and read a run, average 50 runs, accuracy over many runs.

A run is 12,000 rows of 8 logits. Peers are measured in the same process on the same data. ``.pt list`` is a list with a
dictionary for each sample, written with ``torch.save``. What would take a peer minutes is measured on fewer runs, and
its figure is that for all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks._figures import Figure, main, medians, seconds
from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.results.ensembles.mean_ensemble import ensemble
from seedfold.results.evaluation.query import query_accuracies
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.predictions import read_heads, write_predictions

ROWS, CLASSES, MEMBERS = 12_000, 8, 50
IDS = [f"sample_{number:06d}" for number in range(ROWS)]
DRAW = np.random.default_rng(0)
TARGETS = DRAW.integers(0, CLASSES, ROWS)
LOGITS = DRAW.normal(size=(ROWS, CLASSES)).astype(np.float32)
JOB = JobDescription("0" * 64, "benchmark", "train", {}, {}, (), Resources(), "none", "0" * 64)
FILE = "predictions.test.parquet"
TABLES = 10
"""Runs of a peer that are read in place of all."""


def ours(folder: Path, logits: np.ndarray = LOGITS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).unlink(missing_ok=True)
    write_predictions(folder, "test", job=JOB, sample_ids=IDS, targets=TARGETS, logits={"main": logits}, expected=IDS)
    return folder / FILE


def csv(path: Path) -> Path:
    frame = pd.DataFrame(LOGITS, columns=[f"logit_{number}" for number in range(CLASSES)])
    frame.insert(0, "sample_id", IDS)
    frame.insert(1, "target", TARGETS)
    frame.to_csv(path, index=False)
    return path


def records(path: Path) -> Path:
    """Write a run the way of evaluation loops: a dictionary for each sample."""
    logits = torch.from_numpy(LOGITS)
    rows = [{"id": IDS[row], "target": int(TARGETS[row]), "logits": logits[row].clone()} for row in range(ROWS)]
    torch.save(rows, path)
    return path


def npz(path: Path) -> Path:
    """Write a run as three arrays, which nothing checks, and without waiting for the disk."""
    np.savez(path, ids=np.array(IDS), targets=TARGETS, logits=LOGITS)
    return path


def flushed(path: Path, content: bytes) -> None:
    """Write bytes and wait until they are on disk, which no durable store can avoid."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def load_npz(path: Path) -> list[np.ndarray]:
    """Read all three."""
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def one_run(folder: Path, quick: bool) -> list[Figure]:
    """Write and read one run."""
    files = ours(folder / "one"), csv(folder / "one.csv"), records(folder / "one.pt")
    # Seconds a round for the list: it has a round less than the others.
    write, write_csv = medians(2 if quick else 9, lambda: ours(folder / "one"), lambda: csv(files[1]))
    read, read_csv = medians(2 if quick else 9, lambda: list(read_heads(files[0])), lambda: pd.read_csv(files[1]))
    write_list, read_list = seconds(lambda: records(files[2])), seconds(lambda: torch.load(files[2]))
    arrays = npz(folder / "one.npz")
    save, load = medians(2 if quick else 9, lambda: npz(arrays), lambda: load_npz(arrays))
    content = files[0].read_bytes()
    (on_disk,) = medians(2 if quick else 9, lambda: flushed(folder / "bytes", content))
    size, csv_size, list_size = (file.stat().st_size / ROWS for file in files)
    return [
        Figure("write one run", write, write_csv, "CSV", most=0.006),
        Figure("write one run", write, write_list, ".pt list"),
        Figure("write one run", write, save, ".npz, unchecked, not on disk yet"),
        Figure("write one run", write, on_disk, "its bytes alone, on disk"),
        Figure("read one run", read, read_csv, "CSV", most=0.003),
        Figure("read one run", read, load, ".npz, unchecked"),
        Figure("read one run", read, read_list, ".pt list"),
        Figure("a row of one run", size, csv_size, "CSV", unit="B", most=34),
        Figure("a row of one run", size, list_size, ".pt list", unit="B"),
    ]


def copies(folder: Path, count: int) -> list[FinishedJob]:
    """Write so many runs."""
    source, runs = ours(folder / "source"), []
    for number in range(count):
        target = folder / "many" / f"{number}"
        target.mkdir(parents=True)
        shutil.copyfile(source, target / FILE)
        runs.append(FinishedJob(f"{number:064d}"[::-1], "benchmark", "train", {"seed": number}, 1, target))
    return runs


def csv_accuracies(paths: list[Path]) -> list[float]:
    """Return the accuracy of each table."""
    frames = map(pd.read_csv, paths)
    return [(frame.iloc[:, 2:].to_numpy().argmax(axis=1) == frame["target"]).mean() for frame in frames]


def many_runs(folder: Path, count: int, rounds: int) -> list[Figure]:
    """Average 50 runs, and take the accuracy of all."""
    runs, paths = copies(folder, count), [csv(folder / f"{number}.csv") for number in range(TABLES)]
    averaged, by_csv = medians(
        rounds,
        lambda: ensemble(runs[:MEMBERS], "seed"),
        lambda: sum(pd.read_csv(path).iloc[:, 2:].to_numpy() for path in paths),
    )
    by_list = seconds(lambda: torch.stack([row["logits"] for row in torch.load(folder / "one.pt")]))
    found, judged = query_accuracies(runs), seconds(lambda: query_accuracies(runs))
    assert len(found) == count
    assert np.allclose(found["accuracy"], (LOGITS.argmax(axis=1) == TARGETS).mean())
    judged_csv = seconds(lambda: csv_accuracies(paths))
    name, accuracy = f"average {MEMBERS} runs", f"accuracy of {count:,} runs"
    return [
        Figure(name, averaged, by_csv * MEMBERS / TABLES, "CSV", most=0.3),
        Figure(name, averaged, by_list * MEMBERS, ".pt list"),
        Figure(accuracy, judged, judged_csv * count / TABLES, "CSV", most=5),
        Figure(accuracy, judged, by_list * count, ".pt list"),
    ]


def measure(quick: bool) -> list[Figure]:
    """Measure a run, and 1,470 of them."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return [*one_run(folder, quick), *many_runs(folder, MEMBERS if quick else 1_470, 1 if quick else 5)]


if __name__ == "__main__":
    main(measure)
