"""Runs a stage of ``seedfold.trainers.stages`` again and again in forked children, killing each after a random while.

Arguments: stage, configuration (JSON file), folder, the fewest and the most kills, seed. Leaves in folder/staging what
the last child put there.
"""

from __future__ import annotations

import importlib
import json
import random
import shutil
import sys
from pathlib import Path

from mortal import kill_repeatedly, measure_seconds

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import Work
from seedfold.trainers.studies.prevalence_shifts import partial_cache


def main(name: str, config_file: str, folder: str, fewest: str, most: str, seed: str) -> None:
    partial_cache._CHUNK_BYTES = 4 * 16 * 16 * 3
    stage = importlib.import_module(f"seedfold.trainers.stages.{name}")
    config, root = json.loads(Path(config_file).read_text()), Path(folder)
    job = JobDescription("a" * 64, "study", "stage", {}, config, (), Resources(cpus=2), "run", "f" * 64)

    def work() -> None:
        shutil.rmtree(root / "staging", ignore_errors=True)
        (root / "staging").mkdir(parents=True)
        stage.run(Work(job, 1, root / "fit", root / "staging"))

    def forget() -> None:
        shutil.rmtree(root / "fit", ignore_errors=True)

    longest = 0.5 * measure_seconds(work)
    kill_repeatedly(
        work,
        forget,
        min_kills=int(fewest),
        max_kills=int(most),
        max_seconds=longest,
        generator=random.Random(int(seed)),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
