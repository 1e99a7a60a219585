"""What a worker makes of a stop by the scheduler: which jobs go on in its task, and which need another one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest
from scripted_scheduler import NODE, ScriptedEnvironment, ScriptedScheduler, events, install, run_task, submissions
from toyproject import Toy

from seedfold.orchestrator.ledger.ledger import Ledger

STUBBORN = """
import signal, subprocess, time

from toy.light import note, prepare
from pathlib import Path


def dies(work):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    (work.folder / "ready").touch()
    time.sleep(600)


def child(work):
    # As a data loader, whose processes get the scheduler's signals as well.
    with subprocess.Popen(["sleep", "600"]) as process:
        (work.folder / "ready").touch()
        while not work.stop_requested():
            time.sleep(0.02)
        process.terminate()
    if process.returncode:
        raise RuntimeError("a process of the data loader was killed by signal: Terminated")
"""


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> ScriptedScheduler:
    return install(monkeypatch)


def launch(toy: Toy, *args: str) -> None:
    (toy.folder / "toy" / "stubborn.py").write_text(STUBBORN)
    settings = ("cluster=slurm", "cluster.grace_s=0", "cluster.warm=auto", "fold=0", *args)
    ended = toy.launch(*settings, experiment="light")
    assert ended.returncode == 0, ended.stderr


def has_file(toy: Toy, name: str, count: int = 1) -> Callable[[], bool]:
    return lambda: len(list(toy.study("light").path.glob(f"jobs/*/*/{name}"))) == count


def has_started(toy: Toy, count: int) -> Callable[[], bool]:
    return lambda: sum(toy.executions().values()) == count


def has_slept(toy: Toy, attempts: int) -> Callable[[], bool]:
    return lambda: has_started(toy, attempts)() and has_file(toy, "slept.txt")()


def test_a_time_limit_without_progress_gets_another_task_with_twice_the_time(
    toy: Toy, scheduler: ScriptedScheduler
) -> None:
    launch(toy, "seed=0", "deaf_seeds=[0]")
    environment = run_task(toy, ScriptedEnvironment(why="timeout"), has_started(toy, 1))
    assert environment.requeues == []
    [event] = events(toy)
    assert (event["e"], event["kind"], event["node"]) == ("failed", "timeout", NODE)
    scheduler.set_state("ended", "COMPLETED")
    toy.output_of("advance", "light")
    assert [one.array.resources.time_s for one in submissions(toy) if one.array] == [300, 600]


@pytest.mark.slow
def test_in_a_task_that_continues_the_job_without_progress_is_left_to_another_task(
    toy: Toy, scheduler: ScriptedScheduler
) -> None:
    toy.hold_jobs()
    launch(toy, "deaf_seeds=[0]", "cluster.jobs_per_task=2", "cluster.slots=2", "cluster.grace_s=2")
    environment = run_task(toy, ScriptedEnvironment(why="timeout"), has_file(toy, "slept.txt"))
    assert environment.requeues == [0]
    toy.release_jobs()
    environment = run_task(toy, ScriptedEnvironment(restart=1))
    assert environment.requeues == []
    assert sorted(toy.executions().values()) == [1, 2]
    scheduler.set_state("ended", "COMPLETED")
    toy.output_of("advance", "light")
    last = submissions(toy)[-1]
    assert last.array is not None
    assert (len(last.jobs), last.array.resources.time_s) == (1, 600)


@pytest.mark.slow
@pytest.mark.parametrize("run", ["dies", "child"])
def test_what_ends_in_consequence_of_a_stop_is_no_error(toy: Toy, scheduler: ScriptedScheduler, run: str) -> None:
    launch(toy, "seed=0", f"run=toy.stubborn.{run}", "cluster.grace_s=60")
    environment = run_task(toy, ScriptedEnvironment(why="preempted"), has_file(toy, "ready"))
    [event] = events(toy)
    assert event["e"] == "interrupted", event
    assert str(event["reason"]).startswith("stopped: ")
    assert environment.requeues == [0]
    scheduler.set_state("ended", "CANCELLED", kind="cancelled", reason="cancelled in SLURM by 1000")
    toy.output_of("advance", "light")
    assert toy.states("light") == {"cancelled": 1}


@pytest.mark.slow
def test_a_job_that_somebody_kills_is_tried_on_another_node(toy: Toy, scheduler: ScriptedScheduler) -> None:
    toy.hold_jobs()
    launch(toy, "seed=0", "failures.kinds.node.wait_s=0")

    def kill_job() -> None:
        [started] = events(toy)
        process = started["process"]
        assert isinstance(process, dict)
        os.kill(process["pid"], signal.SIGKILL)

    run_task(toy, ScriptedEnvironment(), lambda: has_file(toy, "slept.txt")() and events(toy), kill_job)
    [event] = events(toy)
    assert (event["e"], event["kind"], event["node"]) == ("failed", "node", NODE)
    assert "killed by SIGKILL, and Seedfold did not do it" in str(event["reason"])
    scheduler.set_state("ended", "COMPLETED")
    toy.output_of("advance", "light")
    arrays = [one.array for one in submissions(toy)]
    assert [array.exclude for array in arrays if array] == [(), (NODE,)]


def test_a_job_that_has_continued_often_enough_leaves_its_task(toy: Toy, scheduler: ScriptedScheduler) -> None:
    toy.hold_jobs()
    launch(toy, "seed=0", "failures.more_time_after=2", "cluster.grace_s=60")
    requeues = []
    for restart in range(2):
        asked = ScriptedEnvironment(why="timeout", restart=restart)
        requeues += run_task(toy, asked, has_slept(toy, restart + 1)).requeues
    assert requeues == [0]
    ledger = Ledger(toy.study("light"))
    assert [ledger.record_of(job).rounds("timeout") for job in ledger.plans.jobs] == [2]
    scheduler.set_state("ended", "COMPLETED")
    toy.output_of("advance", "light")
    assert [one.array.resources.time_s for one in submissions(toy) if one.array] == [300, 600]
    assert "was continued 2 times" in toy.output_of("status", "light")
    assert json.loads(toy.output_of("status", "light", "--json"))["states"]["submitted"] == 1
