"""How tasks end that did not say so themselves, and what becomes of their jobs."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing

import pytest
from scripted_scheduler import ScriptedScheduler, events, submissions
from toyproject import Toy

from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.settings.cluster import ClusterSettings

LAUNCH = ("cluster=slurm", "cluster.settle_s=1", "failures.kinds.node.wait_s=0", "fold=0")


def launch(toy: Toy, *args: str) -> None:
    ended = toy.launch(*LAUNCH, *args, experiment="light")
    assert ended.returncode == 0, ended.stderr


def dead_process() -> dict[str, object]:
    with subprocess.Popen(["sleep", "60"]) as process:
        identity = ProcessIdentity.of_pid(process.pid)
        process.kill()
    return identity.to_dict()


def begin(toy: Toy, *tasks: int, attempt: int = 1) -> None:
    """Do what the workers of these tasks do at first, each with one job; they die after it."""
    submission = submissions(toy)[-1]
    writer = EventWriter(toy.study("light").events_folder)
    for index in tasks:
        [job] = submission.jobs_of_task(index)
        file = submission.folder / "tasks" / f"{index}.0"
        assert submission.tasks.record_start(index, 0)
        file.write_text(file.read_text().replace(str(os.getpid()), str(2**22 - 1)))
        writer.append("started", job=job, n=attempt, process=dead_process())
    writer.close()


def age(toy: Toy) -> None:
    """Have the last submission be older than it takes a scheduler to list it."""
    file = submissions(toy)[-1].folder / "submitted.json"
    os.utime(file, (file.stat().st_atime - 60, file.stat().st_mtime - 60))


def test_a_queued_task_that_is_gone_beside_its_siblings_was_cancelled(toy: Toy, scheduler: ScriptedScheduler) -> None:
    launch(toy)
    begin(toy, 0)
    scheduler.set_state("running", "RUNNING", 0)
    scheduler.forget(1)
    age(toy)
    toy.output_of("advance", "light")
    assert toy.states("light")["cancelled"] == 1
    assert "cancelled in the queue before it began" in toy.output_of("show", "seed=1", "fold=0")
    assert len(scheduler.arrays) == 1


@pytest.mark.parametrize("trace", ["log", "no siblings"])
def test_a_task_that_began_or_an_array_that_is_gone_was_not_cancelled(
    toy: Toy, scheduler: ScriptedScheduler, trace: str
) -> None:
    launch(toy)
    if trace == "log":
        scheduler.set_state("running", "RUNNING", 0)
        scheduler.forget(1)
        (submissions(toy)[-1].folder / f"{next(iter(scheduler.arrays))}_1.log").touch()
    else:
        scheduler.forget(0, 1)
    age(toy)
    toy.output_of("advance", "light")
    assert toy.states("light") == {"submitted": 2}
    assert len(scheduler.arrays) == 2


def test_cancelling_a_running_array_cancels_jobs_that_took_it_for_a_preemption(
    toy: Toy, scheduler: ScriptedScheduler
) -> None:
    launch(toy, "failures.kinds.preempted.retries=0")
    begin(toy, 0, 1)
    writer = EventWriter(toy.study("light").events_folder)
    [job] = submissions(toy)[-1].jobs_of_task(0)
    writer.append("failed", job=job, n=1, kind="preempted", reason="it was preempted", digest="preempted")
    writer.close()
    scheduler.set_state("ended", "CANCELLED", reason="cancelled in SLURM by 1000", kind="cancelled")
    toy.output_of("advance", "light")
    assert toy.states("light") == {"cancelled": 2}


def end_by_kill(toy: Toy, scheduler: ScriptedScheduler, node: str, attempt: int) -> None:
    begin(toy, 0, attempt=attempt)
    reason = "the worker of its task was killed by signal 9"
    scheduler.set_state("ended", "FAILED", kind="node", reason=reason, node=node, was_killed=True)
    toy.output_of("advance", "light")


def test_a_worker_that_is_killed_is_tried_on_other_nodes_until_the_third(
    toy: Toy, scheduler: ScriptedScheduler
) -> None:
    launch(toy, "seed=0")
    for attempt, node in enumerate(("n1", "n2", "n3"), 1):
        end_by_kill(toy, scheduler, node, attempt)
    arrays = [one.array for one in submissions(toy)]
    assert [array.exclude for array in arrays if array] == [(), ("n1",), ("n1", "n2")]
    assert [event["kind"] for event in events(toy)] == ["node", "node", "error"]
    assert toy.states("light") == {"failed": 1}
    assert "killed by signal 9; so it ended on n1, n2, n3" in toy.output_of("status", "light")


def test_where_there_is_no_other_node_the_job_runs_where_it_was(
    toy: Toy, scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(toy, "seed=0")

    def check(submission: object) -> None:
        raise RefusedError("Requested node configuration is not available")

    monkeypatch.setattr(scheduler, "check_submission", check)
    end_by_kill(toy, scheduler, "n1", 1)
    assert [one.array.exclude for one in submissions(toy) if one.array] == [(), ()]


def continue_often(toy: Toy, rounds: int) -> None:
    """Record that the last task was stopped so often at its time limit, always after a checkpoint, and has ended."""
    submission = submissions(toy)[-1]
    job = submission.jobs_of_task(0)[0]
    writer, first = EventWriter(toy.study("light").events_folder), Ledger(toy.study("light")).record_of(job)
    for attempt in range(first.latest_attempt + 1, first.latest_attempt + 1 + rounds):
        details = {"reason": "stopped", "why": "timeout", "submission": submission.token}
        writer.append("interrupted", job=job, n=attempt, **details)
    writer.close()
    submission.tasks.record_end(0, 0, by="worker")


def test_a_job_that_continues_for_ever_gets_more_time_and_status_counts(
    toy: Toy, scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(toy, "seed=0", "failures.more_time_after=5")
    for rounds in (4, 6, 11):
        continue_often(toy, rounds)
        toy.output_of("advance", "light")
    assert "was continued 21 times after time limits or preemptions" in toy.output_of("status", "light")
    times = [one.array.resources.time_s for one in submissions(toy) if one.array]
    assert times == [300, 300, 1200, 4800]


def test_a_queue_that_allows_no_more_time_is_asked_for_no_more(
    toy: Toy, scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(submission: object) -> None:
        raise RefusedError("Requested time limit is invalid")

    launch(toy, "seed=0", "failures.more_time_after=5")
    continue_often(toy, 5)
    monkeypatch.setattr(scheduler, "check_submission", check)
    toy.output_of("advance", "light")
    assert [one.array.resources.time_s for one in submissions(toy) if one.array] == [300, 300]


@pytest.mark.parametrize(
    ("asked", "then"), [("11GB", "middle"), ("20GB", "large"), ("80GB", "large"), ("null", "large")]
)
def test_a_job_that_needs_a_larger_gpu_goes_to_the_next_type(
    toy: Toy, scheduler: ScriptedScheduler, asked: str, then: str
) -> None:
    types = "cluster.gpu_types={small:11GB,middle:40GB,large:80GB}"
    launch(toy, "seed=0", "resources.gpus=1", types, f"cluster.gpu_memory={asked}", "failures.kinds.oom_gpu.wait_s=0")
    begin(toy, 0)
    [first] = submissions(toy)
    [job] = first.jobs
    with closing(EventWriter(toy.study("light").events_folder)) as writer:
        writer.append("failed", job=job, n=1, kind="oom_gpu", reason="CUDA out of memory", submission=first.token)
    first.tasks.record_end(0, 0, by="worker")
    scheduler.set_state("ended", "COMPLETED")
    toy.output_of("advance", "light")
    _, again = submissions(toy)
    batch = ClusterSettings.parse(again.settings["cluster"]).scheduler
    assert batch is not None
    assert again.array is not None
    assert batch.for_resources(again.array.resources).choose_gpu_type() == then


def test_a_study_has_one_keeper_which_waits_for_all_of_its_arrays(toy: Toy, scheduler: ScriptedScheduler) -> None:
    launch(toy, "cluster.max_submitted=4")
    toy.launch(*LAUNCH, "fold=1", experiment="light")
    [keeper] = scheduler.queued_keepers()
    assert sorted(keeper.after) == sorted(scheduler.arrays)
    toy.output_of("status", "light")
    assert scheduler.queued_keepers() == [keeper]


def test_the_keeper_of_a_launcher_that_died_is_queued_by_whoever_looks_next(
    toy: Toy, scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "submit_keeper", die)
        assert toy.launch(*LAUNCH, experiment="light").returncode == 130
    assert len(scheduler.arrays) == 1
    assert scheduler.keepers == {}
    # As if the launcher had been this process's, which lives.
    file = toy.study("light").keepers_folder / "1"
    file.write_text(file.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {2**22 - 1}'))
    os.utime(file, (0, 0))
    toy.output_of("status", "light")
    assert len(scheduler.queued_keepers()) == 1


def test_a_keeper_that_has_gone_or_begun_is_followed_by_another(toy: Toy, scheduler: ScriptedScheduler) -> None:
    launch(toy)
    [first] = scheduler.keepers.values()
    first.state = ""
    toy.output_of("status", "light")
    [second] = scheduler.queued_keepers()
    (toy.study("light").keepers_folder / f"{second.number}.begun").touch()
    second.state = "RUNNING"
    toy.output_of("status", "light")
    [third] = scheduler.queued_keepers()
    assert [keeper.number for keeper in scheduler.keepers.values()] == ["1", "2", "3"]
    assert third.after == first.after
    # An array whose tasks have ended needs no keeper behind it.
    third.state = ""
    scheduler.set_state("ended", "CANCELLED", kind="cancelled", reason="cancelled in SLURM")
    toy.output_of("advance", "light")
    assert scheduler.queued_keepers() == []
