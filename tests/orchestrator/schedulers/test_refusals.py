"""What is said and done where a scheduler refuses a submission, loses its answer to it, or is away."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from scripted_scheduler import ScriptedScheduler, submissions
from toyproject import Toy

from seedfold.orchestrator.dispatch import submit
from seedfold.orchestrator.ledger import turns
from seedfold.orchestrator.ledger.layout import StudyFolder

SLURM = ("cluster=slurm", "cluster.settle_s=1")
TOO_LONG = "Requested time limit is invalid (missing or exceeds some limit)"


def launch(toy: Toy, *args: str) -> subprocess.CompletedProcess[str]:
    return toy.launch(*SLURM, *args, experiment="light")


def test_a_refusal_ends_launch_with_one_and_says_what_to_do(toy: Toy, scheduler: ScriptedScheduler) -> None:
    scheduler.refusal = TOO_LONG
    ended = launch(toy)
    assert ended.returncode == 1
    assert f"6 jobs were not submitted: SLURM said: {TOO_LONG}; correct it with seedfold launch …" in ended.stderr
    assert "settings of the cluster are taken from the new command" in ended.stderr
    assert "submitted 0" in ended.stdout
    assert toy.states("light") == {"failed": 6}
    again = toy.run_in_process("resume", "light")
    assert again.returncode == 1
    assert "6 jobs were not submitted" in again.stderr


def test_a_launch_with_other_settings_sends_what_was_refused(toy: Toy, scheduler: ScriptedScheduler) -> None:
    scheduler.refusal = TOO_LONG
    assert launch(toy).returncode == 1
    scheduler.refusal = ""
    ended = launch(toy, "cluster.partition=long")
    assert ended.returncode == 0, ended.stderr
    assert "submitted 6: 6 tasks sent" in ended.stdout
    assert toy.states("light") == {"submitted": 6}
    assert submissions(toy)[-1].settings["cluster"]["partition"] == "long"


def test_what_is_refused_again_is_said_again_and_the_rest_stays_queued(toy: Toy, scheduler: ScriptedScheduler) -> None:
    scheduler.refusal, scheduler.refuses = TOO_LONG, lambda one: one.array is not None and one.array.stage == "sum"
    toy.launch(*SLURM, experiment="chain")
    assert toy.states("chain") == {"submitted": 4, "failed": 2}
    ended = toy.launch(*SLURM, experiment="chain")
    assert ended.returncode == 1
    assert "2 jobs were not submitted" in ended.stderr


def test_a_lost_answer_ends_launch_with_three_and_is_looked_for(toy: Toy, scheduler: ScriptedScheduler) -> None:
    scheduler.answers = False
    ended = launch(toy)
    assert ended.returncode == 3
    assert "6 tasks sent without an answer" in ended.stdout
    [array] = scheduler.arrays.values()
    tasks, array.tasks = array.tasks, {}
    told = toy.output_of("status", "light")
    assert "6 jobs queued: the scheduler's answer to their submission was lost and is being looked for" in told
    assert "until the queue has room" not in told
    array.tasks = tasks
    assert "looked for" not in toy.output_of("status", "light")
    assert submissions(toy)[0].scheduler_id() == next(iter(scheduler.arrays))


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_cancelled_while_the_scheduler_is_away_leaves_the_queue_later(
    toy: Toy, scheduler: ScriptedScheduler, as_json: bool
) -> None:
    launch(toy)
    scheduler.is_away = True
    ended = toy.run_in_process("cancel", "light", *(["--json"] if as_json else []))
    assert ended.returncode == 3
    assert "cancelled jobs may still be in its queue: they do not run" in ended.stderr
    assert len(json.loads(ended.stdout)["cancelled"]) == 6 if as_json else "cancelled 6 jobs" in ended.stdout
    again = toy.run_in_process("cancel", "light")
    assert again.returncode == 3
    scheduler.is_away = False
    toy.output_of("cancel" if as_json else "status", "light")
    [array] = scheduler.arrays.values()
    assert array.tasks == {}
    assert toy.states("light") == {"cancelled": 6}


def test_what_was_cancelled_before_its_answer_came_is_not_sent_again(toy: Toy, scheduler: ScriptedScheduler) -> None:
    scheduler.answers = False
    launch(toy)
    next(iter(scheduler.arrays.values())).tasks.clear()
    toy.output_of("cancel", "light")
    time.sleep(1.1)
    toy.output_of("advance", "light")
    assert len(scheduler.arrays) == 1
    scheduler.answers = True
    toy.output_of("resume", "light")
    assert len(submissions(toy)) == 2
    assert len(scheduler.arrays) == 2


@pytest.mark.parametrize("where", [("cluster=slurm",), ("cluster=local",)])
def test_two_launches_at_once_send_each_job_once(
    toy: Toy, scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch, where: tuple[str, ...]
) -> None:
    """The second one has planned the same jobs, and more, before the first one has submitted any."""
    real, others = turns.next_turn, ["seed=0,1,2"]

    def next_turn(study: StudyFolder) -> int:
        number = real(study)
        if others:
            ended = toy.launch(*where, others.pop(), "--detach", experiment="light")
            assert "submitted 9" in ended.stdout or "started 9" in ended.stdout
        return number

    for module in ("seedfold.orchestrator.schedulers.intents.next_turn", f"{submit.__name__}.next_turn"):
        monkeypatch.setattr(module, next_turn)
    toy.hold_jobs()
    first = toy.launch(*where, "--detach", experiment="light")
    assert "6 jobs were submitted by another command at the same moment" in first.stdout
    assert sorted(len(one.jobs) for one in submissions(toy)) == [9]
    toy.release_jobs()
    if not scheduler.arrays:
        toy.wait_for_workers()


def test_who_died_in_its_turn_holds_nobody_up(toy: Toy, scheduler: ScriptedScheduler) -> None:
    launch(toy, "fold=0")
    record = {"process": {"host": "elsewhere", "pid": 1, "start": 1, "boot": "x"}, "tokens": []}
    (toy.study("light").turns_folder / "2").write_text(json.dumps(record))
    assert "submitted 4" in launch(toy).stdout
    assert (toy.study("light").turns_folder / "3").exists()
