"""Writes split tables by ``split_seed``: ``split.csv`` for ``task``, or ``TASK/split.csv`` for each of ``tasks``.

See `seedfold.trainers.data.split_table` for how samples are drawn. Later stages find in
`values.json`: ``counts``, the samples of each class in each split, and ``class_counts``, the samples of each class for
development (train and dev_cal). For several tasks these are ``TASK.counts`` and ``TASK.class_counts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedfold.jobs.work import ConfigFailure, DataFailure, Work
from seedfold.results.store.values import write_values
from seedfold.trainers.data.split_table import SPLIT_FILE, Fractions, draw_split, write_split
from seedfold.trainers.data.tasks import Task, read_tasks
from seedfold.trainers.studies.prevalence_shifts.manifest import read_label_table

PRELOAD = (
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "hydra.utils",
    "seedfold.trainers.studies.prevalence_shifts.split_stage",
)


def run(work: Work) -> None:
    """Write the tables; raises DataFailure naming task and class if a class is too small."""
    tasks, several = read_tasks(work.config), bool(work.config.get("tasks"))
    values = {
        name: _split_task(work, name, task, work.staging / name if several else work.staging)
        for name, task in tasks.items()
    }
    write_values(work.staging, values if several else next(iter(values.values())))


def _split_task(work: Work, name: str, task: Task, folder: Path) -> dict[str, Any]:
    table, classes = read_label_table(task, work.parents, work.reads), int(task["classes"])
    fractions, seed = Fractions.from_config(task.get("split") or {}), _read_seed(work.config)
    try:
        split_table = draw_split(table.ids, table.targets, classes, fractions, seed)
    except DataFailure as error:
        raise DataFailure(f"task {name}, {error}") from error
    write_split(folder / SPLIT_FILE, split_table)
    counts = split_table.class_counts(classes)
    development_counts = [train + cal for train, cal in zip(counts["train"], counts["dev_cal"], strict=True)]
    return {"counts": counts, "class_counts": development_counts}


def _read_seed(config: Mapping[str, Any]) -> int:
    seed = config.get("split_seed")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ConfigFailure(f"split_seed: {seed!r} is not a whole number; give one, or make it an axis")
    return seed
