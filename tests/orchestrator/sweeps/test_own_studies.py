"""Seedfold's own studies by the door that Hydra has: ``python -m seedfold.trainers``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from toyproject import Toy, make_toy

from seedfold.orchestrator.ledger.plans import Plans


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path)


def door(toy: Toy, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "seedfold.trainers", "--config-dir", "conf", *args],
        cwd=toy.folder,
        env=toy.environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_jobs_are_the_same_whichever_door_one_came_in_by(toy: Toy) -> None:
    overrides = ("seed=3,4", "fold=range(0,2)", "signal=1.5")
    swept = door(toy, "experiment=light", *overrides, "hydra.launcher.resources.memory=2GB", "-m")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert "light: 4 done" in swept.stdout
    lines = toy.output_of("plan", "--config-dir", "conf", "experiment=light", *overrides, "--jobs", "-").splitlines()
    planned = [json.loads(line)["id"] for line in lines]
    plans = Plans(toy.study("light"))
    assert plans.current_ids() == planned
    assert {job.resources.memory_bytes for job in plans.jobs.values()} == {2 * 1024**3}
    assert toy.states("light") == {"done": 4}


@pytest.mark.slow
def test_a_fold_that_the_task_does_not_have_is_refused_at_every_door(toy: Toy) -> None:
    asked = ("experiment=light", "seed=1", "fold=range(0,5)", "+task.folds.k=3")
    whole = [
        door(toy, *asked, "-m"),
        *(toy.run_in_process(word, "--config-dir", "conf", *asked) for word in ("plan", "launch")),
    ]
    assert {ended.returncode for ended in whole} == {2}
    [said] = {ended.stderr for ended in whole}
    assert said.endswith("fold: 3 is not one of the folds of task.folds.k=3, which are 0 to 2; choose one of them\n")
    assert said.count("\n") == 1
    assert not toy.root.exists()


@pytest.mark.slow
def test_without_a_sweep_one_job_runs_here(toy: Toy) -> None:
    ended = door(toy, "experiment=light", "seed=7", "hydra.run.dir=here")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    planned = toy.output_of("plan", "--config-dir", "conf", "experiment=light", "seed=7", "fold=0", "--jobs", "-")
    assert ended.stdout.startswith(json.loads(planned)["id"][:12])
    assert (toy.folder / "here" / "result" / "answer.txt").read_text() == "14.0"
    assert not toy.root.exists()
    refused = door(toy, "-m", "experiment=light", "seed=1", "hydra/sweeper=basic")
    assert refused.returncode == 2
    assert "hydra/sweeper=seedfold" in refused.stderr
