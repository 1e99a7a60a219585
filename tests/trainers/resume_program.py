"""Runs jobs whole, and again and again in forked children, killing each after a random while; see `mortal`.

Arguments: a folder, with ``cases.json``: for each name the configuration, the fewest and the most kills, the seed, the
longest life of a child as a share of the time that an undisturbed one takes, and the number of processes that train
together. NAME/whole and NAME/killed hold what both published.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from mortal import kill_repeatedly, measure_seconds

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import Work
from seedfold.trainers.stages import fit_predict


def main(folder: str) -> None:
    for module in fit_predict.PRELOAD:
        import_module(module)
    threads = len(list(Path("/proc/self/task").iterdir()))
    cases = json.loads((Path(folder) / "cases.json").read_text())
    for name, case in cases.items():
        _kill_and_compare(Path(folder) / name, **case)
    (Path(folder) / "record.json").write_text(json.dumps({"threads": threads}))


def _kill_and_compare(
    root: Path, config: dict[str, Any], fewest: int, most: int, longest: float, seed: int, ranks: int
) -> None:
    fit_predict.device_count = lambda *_: ranks
    job = JobDescription("a" * 64, "study", "train", {}, config, (), Resources(), "run", "f" * 64)

    def work(name: str) -> None:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
        fit_predict.run(Work(job, 1, root / f"fit_{name}", root / name))

    def forget() -> None:
        shutil.rmtree(root / "fit_killed", ignore_errors=True)

    seconds = longest * measure_seconds(partial(work, "whole"))
    kill_repeatedly(
        partial(work, "killed"),
        forget,
        min_kills=fewest,
        max_kills=most,
        max_seconds=seconds,
        generator=random.Random(seed),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
