"""Registers tasks: reads their tables of labels, checks every file, and writes a manifest and the class counts.

One job registers all of ``tasks``, a mapping from names to tasks, or only ``task``. Later stages find `values.json`
with ``class_counts.TASK``, the number of images of each class, and ``samples.TASK``.
"""

from __future__ import annotations

import numpy as np

from seedfold.jobs.work import Work
from seedfold.results.store.values import write_values
from seedfold.trainers.data.tasks import read_tasks
from seedfold.trainers.studies.prevalence_shifts.manifest import make_manifest_table, write_manifest

PRELOAD = (
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "hydra.utils",
    "seedfold.trainers.studies.prevalence_shifts.create_stage",
)


def run(work: Work) -> None:
    """Register every task; raises DataFailure naming the first row that has no file or an unknown label."""
    tasks, tables = read_tasks(work.config), {}
    for done, (name, task) in enumerate(tasks.items()):
        work.progress(done, len(tasks))
        tables[name] = make_manifest_table(name, task, work.reads)
    write_manifest(work.staging, tables.values())
    counts = {
        name: np.bincount(table.column("target").to_numpy(), minlength=int(tasks[name]["classes"])).tolist()
        for name, table in tables.items()
    }
    write_values(work.staging, {"class_counts": counts, "samples": {name: sum(row) for name, row in counts.items()}})
    work.progress(len(tasks), len(tasks))
