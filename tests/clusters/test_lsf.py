"""Studies on an LSF of either dialect: what is asked for gets done, once, however the server behaves."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import Any

import pytest
from clusters.conftest import JOBS, LsfProject, begun
from clusters.lsf.oddities import NAMES
from killed_processes import count_events
from toyproject import wait_until

pytestmark = pytest.mark.slow

EVERYTHING = {
    "noise": True,
    "refused_ids": True,
    "random_order": True,
    "no_noheader": True,
    "in_progress": True,
    "id_heads": True,
}
ALL_AT_ONCE: dict[str, Any] = {
    **EVERYTHING,
    "memory_unenforced": True,
    "late_submissions": True,
    "reused_ids": 110,
    "stale": 0.5,
    "slow": 0.02,
    "away": 0.1,
    "unread": 0.2,
    "no_history": 0.5,
    "whole_arrays": 0.5,
    "lost_reply": {"times": 1},
    "hung_reply": {"times": 1},
    "nonsense": {"bsub": {"times": 1}, "bkill": {"times": 1}, "bqueues": 0.2, "bjobs": 0.1},
    "hang": {"bsub": {"times": 1}, "bkill": {"times": 1}, "bhist": {"times": 1}, "bjobs": {"times": 2}},
}
CLASSIC = pytest.mark.parametrize("lsf_dialect", ["classic"], indirect=True)
NEW = pytest.mark.parametrize("lsf_dialect", ["lsf10"], indirect=True)

GREEDY = '''
"""Light jobs that use more memory than they ask for at first."""

import time

from toy.light import run as run_light


def run(work):
    hoard = bytearray(700 * 1024**2)
    for place in range(0, len(hoard), 4096):
        hoard[place] = 1
    time.sleep(3)
    run_light(work)
'''


def go_on(project: LsfProject) -> None:
    """Release a job when it has begun for the second time."""
    wait_until(lambda: list(project.toy.executions().values()) == [2])
    project.toy.release_jobs()


def failures(project: LsfProject, study: str = "light") -> list[dict[str, Any]]:
    """The failed attempts of all jobs."""
    ledger = project.ledger(study)
    return [failure for job in ledger.plans.jobs for failure in ledger.record_of(job).failures()]


def insist(project: LsfProject, *command: str) -> None:
    """Give a command until the server has heard it."""
    wait_until(lambda: project.toy.run_in_process(*command).returncode == 0)


def asked(project: LsfProject) -> dict[str, int]:
    """How many jobs stand how, as `status` says, which moves things on where LSF answers."""
    found = json.loads(project.toy.run_in_process("status", "light", "--json").stdout)["states"]
    return {state: count for state, count in found.items() if count}


def come_to_rest(project: LsfProject, study: str = "light") -> None:
    """Nothing of it is left in the queue, and nothing is to be done."""
    project.wait_until_empty()
    wait_until(lambda: project.has_nothing_to_do(study))


def test_stages_get_done_in_order_whatever_the_server_says(on: LsfProject) -> None:
    on.lsf.oddities(**EVERYTHING)
    on.launch("cluster.jobs_per_task=2", "cluster.slots=2", experiment="chain")
    on.wait("chain", done=6)
    summaries = on.toy.study("chain").path.glob("store/*/*/summary.txt")
    assert [file.read_text() for file in summaries] == 2 * ["2 files of 2 parents"]
    assert [one.task_count for one in on.submissions("chain")] == [2, 1]
    assert on.ran_each_once(4)
    come_to_rest(on, "chain")


@pytest.mark.timeout(1800)
def test_with_every_oddity_at_once_and_what_crashes_each_job_is_done_once(on: LsfProject) -> None:
    """Launched by somebody who is killed in it; a host crashes; all is cancelled, and resumed."""
    assert set(ALL_AT_ONCE) == NAMES
    for number in range(101, ALL_AT_ONCE["reused_ids"] - 1):
        assert on.lsf.submit("true") == str(number)
    on.lsf.oddities(**ALL_AT_ONCE)
    launch = ("launch", *on.arguments("light", "cluster.settle_s=2", "cluster.query_timeout_s=2", "sleep_s=3"))
    launcher = on.toy.start(*launch)
    wait_until(lambda: on.job_states() or launcher.poll() is not None)
    with suppress(ProcessLookupError):
        os.killpg(launcher.pid, signal.SIGKILL)
    launcher.communicate()
    insist(on, *launch)
    wait_until(lambda: asked(on).get("running", 0) + asked(on).get("done", 0) >= 3, 240, on.describe)
    on.lsf.node_down("n1")
    insist(on, "cancel", "light")
    on.lsf.node_up("n1")
    insist(on, "resume", "light")
    wait_until(lambda: asked(on) == {"done": JOBS}, 300, on.describe)
    assert count_events(on.toy.study("light"), "done") == dict.fromkeys(on.ledger().plans.jobs, 1)
    assert len(list(on.toy.study("light").path.glob("store/*/*/answer.txt"))) == JOBS
    on.lsf.oddities()
    come_to_rest(on)


@CLASSIC
def test_children_of_failed_jobs_are_blocked_and_leave_the_queue(on: LsfProject) -> None:
    on.launch("fail_seeds=[1]", experiment="chain")
    on.wait("chain", done=3, failed=2, blocked=1)
    come_to_rest(on, "chain")
    assert on.ran_each_once(4)


@NEW
def test_arrays_are_no_larger_than_lsf_takes(on: LsfProject) -> None:
    on.lsf.configure(max_job_array_size=4)
    on.launch("cluster.throttle=2")
    on.wait(done=JOBS)
    assert sorted(one.task_count for one in on.submissions()) == [2, 4]
    assert on.ran_each_once()


@CLASSIC
def test_a_queue_with_a_limit_is_filled_by_the_keepers_alone(on: LsfProject) -> None:
    """In a queue that lets a keeper stay for less than it would."""
    on.lsf.configure(max_pending=6)
    on.launch("cluster.max_submitted=6", "cluster.partition=short")
    on.wait(done=JOBS)
    assert [one.task_count for one in on.submissions()] == [2, 2, 2]
    assert on.ran_each_once()


@CLASSIC
def test_an_array_that_the_queue_does_not_take_now_is_held_back(on: LsfProject) -> None:
    on.lsf.configure(max_pending=1)
    stranger = on.lsf.submit("true", "-H")
    assert "6 tasks held back; the queue is full" in on.launch("cluster.keeper=false")
    on.kill(stranger)
    on.wait_with_status(done=JOBS)
    assert on.ran_each_once()


def test_a_warning_has_a_job_continue_where_it_was(on: LsfProject) -> None:
    on.toy.hold_jobs()
    on.launch("seed=1", "fold=0")
    begun(on, 1)
    on.send_warning(on.task_name(on.first_array_id(), 0))
    go_on(on)
    on.wait(done=1)
    assert list(on.toy.executions().values()) == [2]
    [job] = on.ledger().plans.current_jobs.values()
    record = on.ledger().record_of(job.id)
    assert [record.last_events[n]["e"] for n in (1, 2)] == ["interrupted", "done"]
    assert len(on.submissions()) == 1
    come_to_rest(on)


@CLASSIC
def test_a_requeue_from_outside_continues(on: LsfProject) -> None:
    on.toy.hold_jobs()
    on.launch("seed=1", "fold=0")
    begun(on, 1)
    on.requeue(on.task_name(on.first_array_id(), 0))
    go_on(on)
    on.wait_with_status(done=1)
    assert set(on.toy.executions().values()) == {2}
    come_to_rest(on)


def test_a_job_that_needs_more_than_its_time_limit_gets_done(on: LsfProject) -> None:
    """LSF's limit of six minutes lasts eighteen seconds here; how it warns depends on the dialect."""
    on.launch("seed=1", "fold=0", "sleep_s=18", "resources.time=5min", "cluster.margin_s=60", "cluster.warning_s=90")
    on.wait(done=1, seconds=280)
    [often] = on.toy.executions().values()
    assert often > 1
    assert len(on.submissions()) == 1


def test_what_is_killed_in_lsf_is_cancelled_and_can_be_resumed(on: LsfProject) -> None:
    on.toy.hold_jobs()
    on.launch("seed=0,1", "fold=0", "cluster.throttle=1")
    begun(on, 1)
    on.kill(on.first_array_id())
    on.wait_until_empty()
    on.wait_with_status(cancelled=2)
    assert "in LSF" in on.toy.output_of("show", "seed=0", "fold=0")
    assert "in LSF" in on.toy.output_of("show", "seed=1", "fold=0")
    come_to_rest(on)
    on.toy.release_jobs()
    on.toy.output_of("resume", "light")
    on.wait(done=2)


@NEW
def test_cancel_ends_running_and_queued_tasks(on: LsfProject) -> None:
    on.lsf.oddities(in_progress=True)
    on.launch("sleep_s=600", "cluster.throttle=2")
    begun(on, 2)
    assert "cancelled 6 jobs" in on.toy.output_of("cancel", "light")
    on.wait_until_empty()
    assert on.states() == {"cancelled": 6}
    assert on.has_nothing_to_do()


def test_memory_is_asked_for_in_the_unit_of_the_site(on: LsfProject) -> None:
    """Taken for KB it would be too little to begin with; KB taken for it would be more than any host has."""
    on.lsf.configure(unit_for_limits="MB")
    on.launch("seed=1", "fold=0", "cluster.keeper=false", on.hold_override)
    (on.lsf.folder / "conf" / "lsf.conf").unlink()
    on.launch("seed=2", "fold=0", "cluster.keeper=false", "cluster.memory_unit=MB")
    on.wait(done=1, submitted=1)
    on.release(on.first_array_id())
    on.wait(done=2)
    asked_for = "mem=2048MB" if on.lsf.settings.dialect == "lsf10" else "mem=2048]"
    scripts = [(one.folder / "script.sh").read_text() for one in on.submissions()]
    assert [asked_for in script for script in scripts] == [True, True]


@NEW
def test_a_job_that_is_killed_for_its_memory_gets_more(on: LsfProject) -> None:
    (on.toy.folder / "toy" / "greedy.py").write_text(GREEDY)
    # 1 GB is added for what jobs are forked from, and half a GB asked for.
    on.launch("run=toy.greedy.run", "seed=1", "fold=0", "resources.memory=100MB", "failures.kinds.oom_host.memory=20")
    on.wait(done=1)


@CLASSIC
def test_a_task_whose_host_crashes_runs_elsewhere(on: LsfProject) -> None:
    on.toy.hold_jobs()
    on.launch("seed=1", "cluster.throttle=3")
    begun(on, 3)
    on.lsf.node_down("n1")
    on.toy.release_jobs()
    on.wait_with_status(done=3)
    assert set(on.toy.executions().values()) <= {1, 2}


@CLASSIC
def test_a_task_that_ended_while_its_host_was_out_of_sight_is_done(on: LsfProject) -> None:
    on.toy.hold_jobs()
    on.launch("seed=1", "fold=0")
    begun(on, 1)
    for host in ("n1", "n2"):
        on.lsf.host_down(host)
    on.toy.release_jobs()
    on.wait_with_status(done=1)
    for host in ("n1", "n2"):
        on.lsf.node_up(host)
    on.wait_with_status(done=1)
    assert on.ran_each_once(1)


@CLASSIC
def test_a_task_that_cannot_begin_fails_its_jobs_once(on: LsfProject) -> None:
    on.launch("cluster.setup=['echo no such module >&2', 'exit 7']")
    on.wait_with_status(failed=JOBS)
    come_to_rest(on)
    [reason] = {failure["reason"] for failure in failures(on)}
    assert reason == "the worker of its task exited with code 7 before the job began"
    assert f"{on.first_array_id()}_1.log" in on.toy.output_of("status", "light")
    assert on.toy.executions() == {}


@CLASSIC
@pytest.mark.parametrize("odd", [{}, {"whole_arrays": True, "id_heads": True}], ids=["apart", "together"])
def test_tasks_that_lsf_has_forgotten_are_looked_up_in_its_history(on: LsfProject, odd: dict[str, Any]) -> None:
    on.lsf.configure(clean_period=0.5, oddities=odd)
    on.launch("cluster.setup=['exit $((LSB_JOBINDEX + 6))']", "cluster.settle_s=1", "cluster.keeper=false")
    on.wait_until_empty()
    on.wait_with_status(failed=JOBS)
    assert len(on.submissions()) == 1
    codes = [failure["reason"].split("code ")[1].split()[0] for failure in failures(on)]
    assert sorted(codes, key=int) == [str(index + 6) for index in range(1, JOBS + 1)]


@CLASSIC
def test_a_server_that_is_away_harms_nothing(on: LsfProject) -> None:
    on.toy.hold_jobs()
    on.launch("cluster.query_timeout_s=5")
    for odd in ({"away": True}, {"nonsense": ["bjobs"]}, {"hang": ["bjobs"]}, {"unread": True}):
        with on.lsf.odd(**odd):
            assert on.toy.run_in_process("status", "light").returncode == 3, odd
    assert "failed" not in on.states()
    on.toy.release_jobs()
    on.wait_with_status(done=JOBS)
    assert on.ran_each_once()


@CLASSIC
def test_a_submission_during_an_outage_is_done_once(on: LsfProject) -> None:
    quick = ("cluster.settle_s=2", "cluster.query_timeout_s=5")
    with on.lsf.odd(lost_reply={"times": 1}):
        launched = on.toy.run_in_process("launch", *on.arguments("light", *quick))
    assert launched.returncode == 3
    assert "a later command finds out" in launched.stdout
    on.wait_with_status(done=JOBS)
    assert on.ran_each_once()
    assert len({job.partition("[")[0] for job in on.job_states() if "[" in job}) == 1


@CLASSIC
def test_a_number_that_a_stranger_has_now_is_left_alone(on: LsfProject) -> None:
    """The id of an array that was forgotten is given to somebody else's."""
    on.launch("cluster.settle_s=1", "cluster.keeper=false", "seed=1", "sleep_s=1")
    on.wait(done=3)
    on.wait_until_empty()
    number = on.first_array_id()
    on.lsf.configure(clean_period=0.2, oddities={"reused_ids": int(number)})
    job = on.lsf.submit("sleep 120", "-J", "stranger[1-9]")
    assert job == number
    on.toy.output_of("cancel", "light")
    on.toy.output_of("status", "light")
    assert "EXIT" not in on.lsf.job_states(number).values()
