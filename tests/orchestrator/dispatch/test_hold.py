"""Held jobs are not begun, whatever was submitted; released ones go on, and none of them twice."""

from __future__ import annotations

import pytest
from scripted_scheduler import ScriptedEnvironment, ScriptedScheduler, install, run_task, submissions
from toyproject import Toy, wait_until

from seedfold.orchestrator.dispatch import launch as launch_module
from seedfold.orchestrator.dispatch.hold import record_released
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.task_records import TaskRecords
from seedfold.orchestrator.worker import task as task_module
from seedfold.orchestrator.worker.environment import WorkerEnvironment


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> ScriptedScheduler:
    return install(monkeypatch)


def test_held_jobs_are_not_begun_and_go_on_after_their_release(toy: Toy) -> None:
    toy.hold_jobs()
    assert toy.launch("--detach", "cluster.slots=1", experiment="light").returncode == 0
    wait_until(lambda: toy.states("light").get("running") == 1)
    assert "5 jobs held" in (said := toy.output_of("hold", "light"))
    assert "1 job runs and goes on" in said
    # Its worker has them still, and goes on with them.
    assert toy.json_of("release", "light", "--where", "seed=0")["submitted"] == []
    toy.release_jobs()
    wait_until(lambda: toy.states("light") == {"waiting": 3, "done": 3})
    toy.wait_for_workers()
    status = toy.json_of("status", "light")
    assert (status["held"], status["eta_s"]) == (3, None)
    for command in (["resume", "light"], ["launch", "--config-dir", "conf", "experiment=light"]):
        assert "nothing to start" in toy.output_of(*command)
    assert "3 jobs are held; to let them go on: seedfold release light" in toy.output_of("status", "light")
    released = toy.json_of("release", "light")
    assert len(released["released"]) == len(released["submitted"]) == 3
    wait_until(lambda: toy.states("light") == {"done": 6})
    assert set(toy.executions().values()) == {1}
    assert len(submissions(toy)) == 2


def test_a_release_while_the_worker_ends_is_not_missed(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever released the jobs saw the worker alive; the worker has seen them held."""
    monkeypatch.setattr(launch_module, "submit_jobs", lambda *args: ((), None))
    assert toy.launch("--detach", "seed=0", experiment="light").returncode == 0
    study, ledger = toy.study("light"), Ledger(toy.study("light"))
    toy.output_of("hold", "light")
    jobs = ledger.plans.current_ids()
    settings = {"cluster": {"executor": "local"}, "failures": ledger.plans.header.settings["failures"]}  # type: ignore[union-attr]
    submission = Submission.create(study, jobs, settings, toy.folder)
    ends = []

    def record_end(records: TaskRecords, index: int, restart: int, **details: object) -> bool:
        if not ends:
            ledger.refresh()
            record_released(study, ledger, jobs)
        ends.append(restart)
        return end(records, index, restart, **details)

    end = TaskRecords.record_end
    monkeypatch.setattr(TaskRecords, "record_end", record_end)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(toy.folder)
        for name, value in toy.environment.items():
            patch.setenv(name, value)
        patch.setattr("signal.signal", lambda *args: None)
        task_module.run_task(submission, WorkerEnvironment())
    assert ends == [0, 1]
    assert toy.states("light") == {"done": 3}


def test_a_task_with_held_jobs_ends_and_its_jobs_are_submitted_once_after_their_release(
    toy: Toy, scheduler: ScriptedScheduler
) -> None:
    assert toy.launch("cluster=slurm", "cluster.settle_s=1", "fold=0", experiment="light").returncode == 0
    toy.output_of("hold", "light")
    run_task(toy, ScriptedEnvironment())
    scheduler.set_state("ended", "COMPLETED", 0)
    assert toy.states("light") == {"waiting": 2}
    assert "nothing to do" in toy.output_of("advance", "light")
    assert toy.json_of("release", "light")["submitted"] == []
    # One is in the queue still, the other one is submitted again.
    assert toy.states("light") == {"submitted": 2}
    assert [one.task_count for one in submissions(toy)] == [2, 1]
    assert "nothing to do" in toy.output_of("advance", "light")
    run_task(toy, ScriptedEnvironment())
    run_task(toy, ScriptedEnvironment(index=1), submission_number=0)
    assert toy.states("light") == {"done": 2}
    assert set(toy.executions().values()) == {1}


def test_the_rest_is_sent_when_the_pilot_is_done(toy: Toy, scheduler: ScriptedScheduler) -> None:
    pilot = ("--pilot", "1", "--pilot-auto")
    assert toy.launch("cluster=slurm", "fold=0", *pilot, experiment="light").returncode == 0
    assert [one.submission.task_count for one in scheduler.arrays.values()] == [1]
    assert toy.states("light") == {"submitted": 2}
    assert "1 job is held until the pilot is done (0 of 1 pilot jobs done)" in toy.output_of("status", "light")
    run_task(toy, ScriptedEnvironment(), submission_number=0)
    assert "1 tasks sent" in toy.output_of("advance", "light")
    assert len(scheduler.arrays) == 2
    run_task(toy, ScriptedEnvironment())
    assert toy.states("light") == {"done": 2}


@pytest.mark.slow
def test_a_failed_pilot_keeps_the_others_held(toy: Toy) -> None:
    launched = toy.launch("--pilot", "1", "--pilot-auto", "fail_seeds=[0]", "failures=default", experiment="light")
    assert launched.returncode == 1
    assert toy.states("light") == {"waiting": 5, "failed": 1}
    said = toy.output_of("status", "light")
    assert "5 jobs are held for the pilot, and stay so (0 of 1 pilot jobs done, 1 failed)" in said
    toy.output_of("release", "light", "--where", "seed=1")
    wait_until(lambda: toy.states("light") == {"waiting": 2, "done": 3, "failed": 1})
    assert toy.output_of("cancel", "light").startswith("light: cancelled 2 jobs")
    toy.wait_for_workers()
    assert toy.run_in_process("resume", "light", "--wait").returncode == 1
    assert toy.states("light") == {"done": 3, "failed": 3}


def test_the_chains_of_the_pilot_go_through_all_stages(toy: Toy) -> None:
    plan = toy.plan("--pilot", "2", experiment="chain")
    assert (len(plan["pilot"]["jobs"]), len(plan["pilot"]["held"])) == (3, 3)
    assert toy.plan("--pilot", "1", experiment="chain")["pilot"]["jobs"] == plan["pilot"]["jobs"][:1]
    assert toy.launch("--pilot", "2", "--pilot-auto", experiment="chain").returncode == 0
    assert toy.states("chain") == {"done": 6}
    assert set(toy.executions().values()) == {1}


def test_a_pilot_has_jobs_of_each_task(toy: Toy) -> None:
    text = (toy.folder / "conf" / "experiment" / "light.yaml").read_text()
    toy.write_experiment(
        "tasks", text.replace("study: light", "study: tasks").replace("  seed:", "  task: [digits, melanoma]\n  seed:")
    )
    plan = toy.plan("--pilot", "1", experiment="tasks")
    assert (len(plan["pilot"]["jobs"]), len(plan["pilot"]["held"])) == (2, 10)


@pytest.mark.slow
@pytest.mark.parametrize("writes", [1, 2])
def test_after_a_kill_between_the_writes_nothing_that_is_held_runs(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """The hold is written, then the plan, then the submission."""

    def die(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(launch_module, "write_plan" if writes == 1 else "submit_jobs", die)
        assert toy.launch("--pilot", "1", experiment="light").returncode == 130
    assert toy.launch("--pilot", "1", experiment="light").returncode == 0
    assert toy.states("light") == {"waiting": 5, "done": 1}
    toy.wait_for_workers()
    assert len(toy.json_of("release", "light")["submitted"]) == 5
    wait_until(lambda: toy.states("light") == {"done": 6})
    assert set(toy.executions().values()) == {1}


def test_of_a_hold_and_a_release_at_once_all_see_the_same_win(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_module, "submit_jobs", lambda *args: ((), None))
    assert toy.launch("--detach", experiment="light").returncode == 0
    study = toy.study("light")
    jobs = dict.fromkeys(Ledger(study).plans.current_ids(), 0)
    for kind, time in (("released", 5.0), ("held", 5.0), ("held", 4.0)):
        EventWriter(study.events_folder).append(kind, t=time, jobs=jobs)
        assert toy.json_of("status", "light")["held"] == 0
    # A clock that is behind does not matter to a command that has read what was said.
    EventWriter(study.events_folder).append("released", t=4e9, jobs=jobs)
    toy.output_of("hold", "light")
    assert toy.json_of("status", "light")["held"] == 6
