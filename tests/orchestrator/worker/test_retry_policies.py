"""What the worker does about failures, each of them real."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from toyproject import Toy

TROUBLE = """
import os
import resource

import numpy as np

from seedfold.jobs.work import ConfigFailure, DataFailure, NonFiniteFailure


def disk(work):
    with open("/dev/full", "w") as file:
        file.write("x" * 100_000)


def memory(work):
    if work.attempt > work.config["attempts"]:
        return
    resource.setrlimit(resource.RLIMIT_AS, (2 * 1024**3, 2 * 1024**3))
    np.zeros((1024, 1024, 1024, 4))


class OutOfMemoryError(RuntimeError):
    pass


def gpu(work):
    halvings = os.environ.get("SEEDFOLD_MICRO_BATCH_HALVINGS", "0")
    if int(halvings) < 2:
        raise OutOfMemoryError(f"CUDA out of memory with {halvings}")


def name(work):
    raise ValueError("cannot read \\udce9t\\udce9.csv " + "\\U0001F600" * 1000)


def config(work):
    raise ConfigFailure("model: no such class")


def nan(work):
    raise NonFiniteFailure("train/loss: nan in epoch 3")
"""

STUDY = """# @package _global_
run: toy.trouble.{run}
attempts: {attempts}
study: trouble
matrix: {{seed: "range(0,{jobs})"}}
resources: {{cpus: 1, memory: 1GB, time: 5min}}
"""


def trouble(toy: Toy, run: str, *args: str, jobs: int = 1, attempts: int = 0) -> dict[str, Any]:
    """Launch jobs that are in trouble; return what status says of them."""
    (toy.folder / "toy" / "trouble.py").write_text(TROUBLE)
    toy.write_experiment("trouble", STUDY.format(run=run, attempts=attempts, jobs=jobs))
    launched = toy.launch("--wait", *args, experiment="trouble")
    assert launched.returncode in {0, 1}, launched.stderr
    status: dict[str, Any] = toy.json_of("status", "trouble")
    return status


@pytest.mark.parametrize(
    ("run", "kind", "says"),
    [("config", "config", "no such class"), ("nan", "nan", "epoch 3"), ("typo", "config", "cannot import")],
)
def test_kinds_that_are_never_tried_again(toy: Toy, run: str, kind: str, says: str) -> None:
    (failure,) = trouble(toy, run)["failures"]
    assert (failure["kind"], failure["attempts"]) == (kind, 1)
    assert says in failure["reason"]


def test_a_full_disk_leaves_the_rest_waiting(toy: Toy) -> None:
    status = trouble(toy, "disk", "cluster.slots=1", "failures.kinds.disk={retries: 1, wait_s: 0}", jobs=4)
    # The last retry ends the worker: that disk is not the root's, so nobody can say when it has room.
    assert status["failures"][0]["attempts"] == 2
    assert (status["states"]["failed"], status["states"]["waiting"]) == (1, 3)
    assert status["failures"][0]["kind"] == "disk"


@pytest.mark.slow
def test_out_of_memory_is_tried_again(toy: Toy) -> None:
    status = trouble(toy, "memory", "failures.kinds.oom_host.wait_s=0", attempts=1)
    assert status["states"]["done"] == 1
    status = trouble(toy, "memory", "failures.kinds.oom_host.wait_s=0", "study=again", attempts=9)
    (failure,) = toy.json_of("status", "again")["failures"]
    assert (failure["kind"], failure["attempts"]) == ("oom_host", 2)


def test_the_micro_batch_is_halved_after_each_failure_where_the_study_allows_it(toy: Toy) -> None:
    often = ("failures.kinds.oom_gpu.retries=2", "failures.kinds.oom_gpu.wait_s=0")
    assert trouble(toy, "gpu", *often, "failures.kinds.oom_gpu.halve_micro_batch=true")["states"]["done"] == 1
    [job] = toy.study("trouble").path.glob("store/*/*.3")
    assert "HALVINGS" not in (job / "result.json").read_text().partition('"provenance"')[0], "it is not part of the job"
    trouble(toy, "gpu", *often, "study=again", attempts=1)
    [failure] = toy.json_of("status", "again")["failures"]
    assert (failure["attempts"], failure["reason"]) == (3, "OutOfMemoryError: CUDA out of memory with 0")


def test_identical_tracebacks_stop_the_stage(toy: Toy) -> None:
    ended = toy.launch(
        "--wait", "seed=range(0,12)", "fold=0", "fail_seeds=[0,1,2,3,4,5,6,7,8,9,10,11]", "cluster.slots=1"
    )
    assert ended.returncode == 1
    assert toy.states() == {"failed": 5, "waiting": 7}
    why = "7 jobs wait: the worker began no more after failures.stop_after_identical=5 equal failures: ValueError"
    assert why in ended.stdout
    shown = toy.output_of("status", "toy")
    assert why in shown
    assert "  all with seed=0,1,2,3,4\n" in shown
    assert "no worker is running" not in shown
    logs = toy.output_of("logs", "toy", "--failed")
    assert logs.count("Traceback") == 5, "they differ in the number of the seed"


@pytest.mark.slow
def test_a_success_between_shows_that_it_is_not_the_code(toy: Toy) -> None:
    toy.launch("--wait", "seed=range(0,12)", "fold=0", "fail_seeds=[0,1,2,3,5,6,7,8]", "cluster.slots=1")
    assert toy.states() == {"failed": 8, "done": 4}


def test_children_of_a_failed_job_are_blocked_and_resumed_with_it(toy: Toy) -> None:
    (toy.data / "broken-1").touch()
    ended = toy.launch("--wait", experiment="chain")
    assert ended.returncode == 1
    assert toy.states("chain") == {"done": 3, "failed": 2, "blocked": 1}
    (toy.data / "broken-1").unlink()
    toy.output_of("resume", "chain", "--wait")
    assert toy.states("chain") == {"done": 6}


def test_any_text_of_an_error_is_told(toy: Toy) -> None:
    (failure,) = trouble(toy, "name")["failures"]
    assert failure["reason"].startswith("ValueError: cannot read \\udce9t\\udce9.csv \U0001f600")


@pytest.mark.slow
def test_a_cancelled_job_is_resumed_whatever_the_clocks_say(toy: Toy) -> None:
    toy.launch("--wait", "--limit", "1", experiment="light")
    toy.output_of("cancel", "light")
    (told,) = [file for file in toy.study("light").events_folder.iterdir() if '"cancelled"' in file.read_text()]
    ahead = json.loads(told.read_text()) | {"t": time.time() + 3600}
    told.write_text(json.dumps(ahead) + "\n")
    assert toy.states("light") == {"done": 1, "cancelled": 5}
    toy.output_of("resume", "light", "--wait")
    assert toy.states("light") == {"done": 6}
