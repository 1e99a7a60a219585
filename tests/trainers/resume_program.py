"""Runs one job again and again in forked children, killing each after a random while, until one gets to its end.

Arguments: configuration (JSON file), folder, rounds, seed, the longest life of a child as a share of the time that an
undisturbed one takes, and the number of processes that train together. ``rounds`` is the number of kills wanted;
folder/whole and folder/killed hold what an undisturbed and a killed job published.
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


def main(config_file: str, folder: str, rounds: str, seed: str, longest: str, ranks: str = "1") -> None:
    fit_predict.devices = lambda *_: int(ranks)
    for module in fit_predict.PRELOAD:
        import_module(module)
    threads = len(list(Path("/proc/self/task").iterdir()))
    config, root = json.loads(Path(config_file).read_text()), Path(folder)
    start = time.monotonic()
    assert attempt(config, root / "fit_whole", root / "whole", None)
    undisturbed = time.monotonic() - start
    chance, kills = random.Random(int(seed)), 0
    ended = False
    while not ended and kills < int(rounds):
        ended = attempt(config, root / "fit_killed", root / "killed", chance.uniform(0.0, float(longest)) * undisturbed)
        kills += not ended
    if not ended:
        assert attempt(config, root / "fit_killed", root / "killed", None)
    (root / "record.json").write_text(json.dumps({"kills": kills, "threads": threads}))


if __name__ == "__main__":
    main(*sys.argv[1:])
