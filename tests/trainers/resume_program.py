"""Runs one job whole, and again and again in forked children, killing each after a random while; see `mortal.kill`.

Arguments: configuration (JSON file), folder, the fewest and the most kills, seed, the longest life of a child as a
share of the time that an undisturbed one takes, and the number of processes that train together. folder/whole and
folder/killed hold what both published.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

from mortal import kill_repeatedly, measure_seconds

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import Work
from seedfold.trainers.stages import fit_predict


def main(config_file: str, folder: str, fewest: str, most: str, seed: str, longest: str, ranks: str = "1") -> None:
    fit_predict.device_count = lambda *_: int(ranks)
    for module in fit_predict.PRELOAD:
        import_module(module)
    threads = len(list(Path("/proc/self/task").iterdir()))
    config, root = json.loads(Path(config_file).read_text()), Path(folder)
    job = JobDescription("a" * 64, "study", "train", {}, config, (), Resources(), "run", "f" * 64)

    def work(name: str) -> None:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
        fit_predict.run(Work(job, 1, root / f"fit_{name}", root / name))

    def forget() -> None:
        shutil.rmtree(root / "fit_killed", ignore_errors=True)

    seconds = float(longest) * measure_seconds(partial(work, "whole"))
    chance = random.Random(int(seed))
    kill_repeatedly(
        partial(work, "killed"),
        forget,
        min_kills=int(fewest),
        max_kills=int(most),
        max_seconds=seconds,
        generator=chance,
    )
    (root / "record.json").write_text(json.dumps({"threads": threads}))


if __name__ == "__main__":
    main(*sys.argv[1:])
