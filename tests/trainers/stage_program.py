"""Runs a stage of ``seedfold.trainers.stages`` again and again in forked children, killing each after a random while.

Arguments: stage, configuration (JSON file), folder, kills, seed. Leaves in folder/staging what the last one put there.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import Work
from seedfold.trainers.data import partial_cache


def attempt(stage: Any, config: Any, folder: Path, life: float | None) -> bool:
    staging = folder / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        job = JobDescription("a" * 64, "study", "stage", {}, config, (), Resources(cpus=2), "run", "f" * 64)
        stage.run(Work(job, 1, folder / "fit", staging))
        os._exit(0)
    if life is not None:
        time.sleep(life)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, "the job failed"
    return True


def main(name: str, config_file: str, folder: str, kills: str, seed: str) -> None:
    partial_cache._CHUNK_BYTES = 4 * 16 * 16 * 3
    stage = importlib.import_module(f"seedfold.trainers.stages.{name}")
    config, chance, killed = json.loads(Path(config_file).read_text()), random.Random(int(seed)), 0
    while killed < int(kills) and not attempt(stage, config, Path(folder), chance.uniform(0.02, 0.3)):
        killed += 1
    assert attempt(stage, config, Path(folder), None)
    print(killed)


if __name__ == "__main__":
    main(*sys.argv[1:])
