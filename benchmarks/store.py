"""The store against what people use instead: write and read a run, average 50 runs, accuracy over many runs.

Run with ``python benchmarks/store.py [RUNS]`` (default 200 runs of 12,000 rows by 8 logits). Peers are measured in
the same process on the same data; figures are medians, ratios are peer / Seedfold. The list of records is what
per-sample ``.pt`` files hold, written with pickle.
"""

from __future__ import annotations

import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.results.ensembles.mean_ensemble import ensemble
from seedfold.results.evaluation.query import accuracies
from seedfold.results.store.finished_job import Run
from seedfold.results.store.predictions import read_heads, write_predictions

ROWS, CLASSES, MEMBERS = 12_000, 8, 50
IDS = [f"sample_{number:06d}" for number in range(ROWS)]
DRAW = np.random.default_rng(0)
TARGETS = DRAW.integers(0, CLASSES, ROWS)
LOGITS = DRAW.normal(size=(ROWS, CLASSES)).astype(np.float32)
JOB = JobDescription("0" * 64, "benchmark", "train", {}, {}, (), Resources(), "none", "0" * 64)
FILE = "predictions.test.parquet"


def median(work: Callable[[], object], rounds: int = 9) -> float:
    """Return the median of the milliseconds that ``work`` takes, after one round that does not count."""
    work()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


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


def npz(path: Path) -> Path:
    np.savez(path, ids=np.array(IDS), targets=TARGETS, logits=LOGITS)
    return path


def records(path: Path) -> Path:
    rows = [{"id": IDS[row], "target": int(TARGETS[row]), "logits": LOGITS[row].copy()} for row in range(ROWS)]
    with path.open("wb") as file:
        pickle.dump(rows, file)
    return path


def read_npz(path: Path) -> np.ndarray:
    with np.load(path) as content:
        return content["logits"] + 0 * len(content["ids"]) + 0 * content["targets"][:, None]


def one_run(folder: Path) -> None:
    peers: dict[str, tuple[Callable[[], Path], Callable[[Path], object]]] = {
        "Seedfold": (lambda: ours(folder / "one"), lambda path: list(read_heads(path))),
        "CSV": (lambda: csv(folder / "x.csv"), pd.read_csv),
        "npz": (lambda: npz(folder / "x.npz"), read_npz),
        "records": (lambda: records(folder / "x.pkl"), lambda path: pickle.loads(path.read_bytes())),
    }
    base: tuple[float, float, float] | None = None
    id_bytes = sum(map(len, IDS)) / ROWS
    print(f"one run, {ROWS:,} x {CLASSES}      write         read   bytes/row ({id_bytes:.0f} of them an id)")
    for name, (write, read) in peers.items():
        path = write()
        figures = (median(write), median(lambda path=path, read=read: read(path)), path.stat().st_size / ROWS)
        base = base or figures
        ratios = [f"{figure:7.1f} ({figure / ours_:4.1f}x)" for figure, ours_ in zip(figures, base, strict=True)]
        print(f"  {name:18}", *ratios)


def many_runs(folder: Path, count: int) -> None:
    source = ours(folder / "source")
    runs = []
    for number in range(count):
        target = folder / "many" / f"{number}"
        target.mkdir(parents=True)
        (target / FILE).write_bytes(source.read_bytes())
        runs.append(Run(f"{number:064d}"[::-1], "benchmark", "train", {"seed": number}, 1, target))
    paths = [csv(folder / f"{number}.csv") for number in range(10)]
    members = runs[:MEMBERS]
    averaged = median(lambda: ensemble(members, "seed"), 3)
    by_csv = median(lambda: sum(pd.read_csv(path).iloc[:, 2:].to_numpy() for path in paths), 3) * MEMBERS / len(paths)
    print(f"mean probability of {len(members)} runs: {averaged:.0f} ms; CSV {by_csv:.0f} ms ({by_csv / averaged:.1f}x)")
    begin = time.perf_counter()
    found = accuracies(runs)
    seconds = time.perf_counter() - begin
    assert np.allclose(found["accuracy"], (LOGITS.argmax(axis=1) == TARGETS).mean())
    begin = time.perf_counter()
    for path in paths:
        frame = pd.read_csv(path)
        (frame.iloc[:, 2:].to_numpy().argmax(axis=1) == frame["target"]).mean()
    peer = (time.perf_counter() - begin) * count / len(paths)
    print(f"accuracy of {count} runs: {seconds:.2f} s; CSV {peer:.2f} s ({peer / seconds:.1f}x)")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        one_run(Path(temporary))
        many_runs(Path(temporary), int(sys.argv[1]) if len(sys.argv) > 1 else 200)
