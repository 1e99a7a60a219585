"""Runs one job again and again in forked children, killing each after a random while, until one gets to its end.

Arguments: configuration (JSON file), folder, the fewest and the most kills, seed, the longest life of a child as a
share of the time that an undisturbed one takes, and the number of processes that train together. A job that ends
before it has been killed often enough begins anew, and its children live half as long: how fast a busy machine is
changes from one second to the next. folder/whole and folder/killed hold what both jobs published.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import Work
from seedfold.trainers import fit_predict


def attempt(config: Any, fit: Path, staging: Path, life: float | None) -> bool:
    """Run the job in a child; return whether it got to its end before it was killed."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        job = JobDescription("a" * 64, "study", "train", {}, config, (), Resources(), "run", "f" * 64)
        fit_predict.run(Work(job, 1, fit, staging))
        os._exit(0)
    if life is not None:
        time.sleep(life)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, "the job failed"
    return True


def killed(config: Any, root: Path, most: int, longest: float, chance: random.Random) -> int:
    """Run the job until it gets to its end; return how often it was killed."""
    shutil.rmtree(root / "fit_killed", ignore_errors=True)
    kills = 0
    while not attempt(
        config, root / "fit_killed", root / "killed", chance.uniform(0.0, longest) if kills < most else None
    ):
        kills += 1
    return kills


def main(config_file: str, folder: str, fewest: str, most: str, seed: str, longest: str, ranks: str = "1") -> None:
    fit_predict.devices = lambda *_: int(ranks)
    for module in fit_predict.PRELOAD:
        import_module(module)
    threads = len(list(Path("/proc/self/task").iterdir()))
    config, root = json.loads(Path(config_file).read_text()), Path(folder)
    start = time.monotonic()
    assert attempt(config, root / "fit_whole", root / "whole", None)
    seconds = float(longest) * (time.monotonic() - start)
    chance, kills = random.Random(int(seed)), -1
    while kills < int(fewest):
        kills = killed(config, root, int(most), seconds, chance)
        seconds /= 2
    (root / "record.json").write_text(json.dumps({"threads": threads}))


if __name__ == "__main__":
    main(*sys.argv[1:])
