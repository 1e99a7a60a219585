"""Whatever is killed, and whenever: after `resume` every job is done once, and the store is what it would have been."""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from killed_processes import (
    VICTIMS,
    StoredResults,
    count_events,
    job_processes,
    kill_random_process,
    read_results,
    worker_processes,
)
from toyproject import SEEDFOLD, WAIT_S, Toy, make_toy, wait_for_output, wait_until

from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.local import start_worker

SETTINGS = {"cluster": {"executor": "local"}, "failures": {}}
SLOW_JOBS = ("sleep_s=0.3", "failures.kinds.node.wait_s=0")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> StoredResults:
    toy = make_toy(tmp_path_factory.mktemp("undisturbed"))
    assert toy.launch("--wait", *SLOW_JOBS).returncode == 0
    return read_results(toy.study())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_at_random_moments(toy: Toy, undisturbed: StoredResults) -> None:
    dice = random.Random(2)
    command = ("launch", "--wait", "--config-dir", "conf", "experiment=toy", *SLOW_JOBS)
    for _ in range(12):
        launcher = toy.start(*command, program=SEEDFOLD)
        time.sleep(dice.uniform(0.3, 3.0))
        kill_random_process(toy.study(), launcher, dice)
        time.sleep(dice.uniform(0.0, 0.5))
        launcher.kill()
        launcher.communicate()
        if toy.study().is_planned:
            command = ("resume", "toy", "--wait")
    # A job that was killed has failed, and whoever was waited for first may not have been all.
    for _ in range(2):
        toy.run(*command)
    assert toy.states() == {"done": 6}
    assert read_results(toy.study()) == undisturbed
    assert set(count_events(toy.study(), "done").values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_of_each_process(toy: Toy, undisturbed: StoredResults, victim: str) -> None:
    toy.hold_jobs()
    launcher = toy.start(
        "launch", "--config-dir", "conf", "experiment=toy", *SLOW_JOBS, "failures.kinds.node.wait_s=0.1"
    )
    wait_until(lambda: count_events(toy.study(), "started") and toy.executions())
    VICTIMS[victim](toy.study())[0].kill()
    toy.release_jobs()
    launcher.communicate(timeout=WAIT_S)
    if victim == "worker":
        assert toy.states().get("lost", 0) >= 1
    else:
        # Nobody knows who killed a job: it is tried again.
        assert toy.states() == {"done": 6}
    toy.output_of("resume", "toy", "--wait")
    assert toy.states() == {"done": 6}
    assert read_results(toy.study()) == undisturbed


def test_a_job_that_somebody_else_stops_goes_on(toy: Toy) -> None:
    toy.hold_jobs()
    launcher = toy.start("launch", "--wait", "--config-dir", "conf", "experiment=chain")
    wait_until(lambda: toy.executions() and count_events(toy.study("chain"), "started"))
    job_processes(toy.study("chain"))[0].terminate()
    wait_until(lambda: count_events(toy.study("chain"), "interrupted") or count_events(toy.study("chain"), "failed"))
    toy.release_jobs()
    assert launcher.communicate(timeout=WAIT_S)
    assert launcher.returncode == 0
    assert toy.states("chain") == {"done": 6}


@pytest.mark.slow
def test_the_death_of_the_launcher_changes_nothing(toy: Toy) -> None:
    launcher = toy.start("launch", "--config-dir", "conf", "experiment=toy", *SLOW_JOBS)
    wait_until(lambda: job_processes(toy.study()))
    os.killpg(launcher.pid, signal.SIGHUP)
    launcher.communicate(timeout=WAIT_S)
    wait_until(lambda: toy.states() == {"done": 6})
    assert set(toy.executions().values()) == {1}


@pytest.mark.slow
def test_ctrl_c_stops_in_order_and_loses_nothing(toy: Toy) -> None:
    toy.hold_jobs()
    launcher = toy.start("launch", "--config-dir", "conf", "experiment=toy")
    wait_for_output(launcher, "submitted")
    wait_until(toy.executions)
    launcher.send_signal(signal.SIGINT)
    _, stderr = launcher.communicate(timeout=WAIT_S)
    assert launcher.returncode == 130, stderr
    assert worker_processes(toy.study()) == []
    assert count_events(toy.study(), "failed") == Counter()
    assert sum(count_events(toy.study(), "interrupted").values()) >= 1
    assert set(toy.states()) <= {"waiting", "done"}
    toy.release_jobs()
    toy.output_of("resume", "toy", "--wait", "cluster.grace_s=1")
    assert toy.states() == {"done": 6}


@pytest.mark.slow
def test_a_second_ctrl_c_kills(toy: Toy) -> None:
    launcher = toy.start("launch", "--config-dir", "conf", "experiment=toy", "deaf_seeds=[0,1]")
    wait_for_output(launcher, "submitted")
    wait_until(toy.executions)
    launcher.send_signal(signal.SIGINT)
    wait_for_output(launcher, "stopping", "stderr")
    time.sleep(1.0)
    assert launcher.poll() is None
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=WAIT_S)
    assert launcher.returncode == 130
    wait_until(lambda: not worker_processes(toy.study()))
    assert set(toy.states()) == {"waiting"}


HANG = """
import time
from pathlib import Path

Path("imported").touch()
time.sleep(1000)
"""


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_worker_whose_imports_hang(toy: Toy) -> None:
    (toy.folder / "toy" / "hang.py").write_text(HANG)
    launcher = toy.start("launch", "--config-dir", "conf", "experiment=light", "run=toy.hang.run")
    wait_until(lambda: (toy.folder / "imported").exists())
    wait_for_output(launcher, "submitted")
    time.sleep(2.0)  # The worker hands over its first jobs meanwhile: without any it ends at once, and rightly so.
    launcher.send_signal(signal.SIGINT)
    wait_for_output(launcher, "stopping", "stderr")
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=WAIT_S)
    assert launcher.returncode == 130
    assert toy.states("light") == {"waiting": 6}


@pytest.mark.slow
def test_a_job_that_is_just_starting_hears_that_it_should_stop(toy: Toy) -> None:
    launcher = toy.start("launch", "--config-dir", "conf", "experiment=light", "cluster.warm=off", "sleep_s=600")
    wait_for_output(launcher, "submitted")
    wait_until(lambda: job_processes(toy.study("light")))
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=WAIT_S)
    assert launcher.returncode == 130
    assert count_events(toy.study("light"), "failed") == Counter()
    assert toy.states("light") == {"waiting": 6}


@pytest.mark.slow
def test_two_launches_at_once_run_every_job_once(toy: Toy) -> None:
    launchers = [toy.start("launch", "--config-dir", "conf", "experiment=toy", *SLOW_JOBS) for _ in range(4)]
    for launcher in launchers:
        launcher.communicate(timeout=WAIT_S)
        assert launcher.returncode == 0
    assert toy.states() == {"done": 6}
    assert set(toy.executions().values()) == {1}
    assert set(count_events(toy.study(), "done").values()) == {1}


@pytest.mark.slow
def test_two_studies_with_equal_jobs_at_once_run_each_once(toy: Toy) -> None:
    base = ("launch", "--config-dir", "conf", "experiment=toy", *SLOW_JOBS)
    launchers = [toy.start(*base, f"study={name}") for name in ("one", "two")]
    for launcher in launchers:
        launcher.communicate(timeout=WAIT_S)
        assert launcher.returncode == 0
    assert toy.states("one") == toy.states("two") == {"done": 6}
    assert set(toy.executions().values()) == {1}


def _is_over(submission: Submission) -> bool:
    return submission.liveness() == "dead"


@pytest.mark.slow
def test_two_studies_that_both_queued_a_job_do_not_wait_for_each_other(toy: Toy) -> None:
    assert toy.launch("--limit", "1", "study=one", experiment="chain").returncode == 0
    shutil.copytree(toy.study("one").plans_folder, toy.study("two").plans_folder)
    jobs = Ledger(toy.study("one")).plans.jobs
    fits = [job.id for job in jobs.values() if not job.parents]
    queued = [Submission.create(toy.study("one"), fits, SETTINGS, toy.folder)]
    queued.append(Submission.create(toy.study("two"), list(jobs), SETTINGS, toy.folder))
    for submission in queued:
        start_worker(submission)
    for submission in queued:
        wait_until(functools.partial(_is_over, submission))
    assert toy.states("two") == {"done": 6}
    assert set(toy.executions().values()) == {1}


@pytest.mark.slow
def test_a_job_that_another_study_does_between_plan_and_start_is_not_done_again(toy: Toy) -> None:
    assert toy.launch("--wait", "study=one", experiment="light").returncode == 0
    shutil.copytree(toy.study("one").plans_folder, toy.study("two").plans_folder)
    names = list(toy.executions())
    submission = Submission.create(toy.study("two"), names, SETTINGS, toy.folder)
    start_worker(submission)
    wait_until(lambda: submission.liveness() == "dead")
    assert set(toy.executions().values()) == {1}
    assert toy.states("two") == {"done": 6}


@pytest.mark.slow
def test_a_result_that_nobody_lived_to_tell_of_counts(toy: Toy) -> None:
    assert toy.launch("--wait").returncode == 0
    files = list(toy.study().events_folder.iterdir())
    for file in files:
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if '"e":"done"' not in line))
    assert toy.states() == {"done": 6}
    assert "nothing to start" in toy.launch("--wait").stdout
    assert set(toy.executions().values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["result.json", "answer.txt"])
def test_a_result_that_nobody_lived_to_tell_of_and_that_is_damaged_runs_again(toy: Toy, name: str) -> None:
    assert toy.launch("--wait", experiment="chain").returncode == 0
    (file,) = toy.study("chain").events_folder.iterdir()
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if '"e":"done"' not in line))
    noted = toy.executions()
    results = (toy.study("chain").path / "store").glob(f"*/*/{name}")
    damaged = next(file for file in results if file.parent.name.split(".")[0] in noted)
    damaged.write_bytes(damaged.read_bytes()[:1])
    assert toy.states("chain").get("lost") == 1
    assert toy.launch("--wait", experiment="chain").returncode == 0
    assert toy.states("chain") == {"done": 6}
    again = {job for job, count in toy.executions().items() if count == 2}
    assert again == {damaged.parent.name.split(".")[0]}


@pytest.mark.slow
def test_a_half_written_event_is_left_for_later(toy: Toy) -> None:
    assert toy.launch("--wait").returncode == 0
    (toy.study().events_folder / "someone.jsonl").write_text('{"e":"started","t":1,"n":9,"jo')
    assert toy.states() == {"done": 6}


@pytest.mark.slow
def test_a_damaged_event_is_passed_over_and_named(toy: Toy) -> None:
    assert toy.launch("--wait").returncode == 0
    (file,) = toy.study().events_folder.iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    spoilt = next(index for index, line in enumerate(lines) if b'"done"' in line)
    file.write_bytes(b"".join([*lines[:spoilt], lines[spoilt][:40] + b"\0\xff\n", *lines[spoilt + 1 :]]))
    assert toy.states() == {"done": 6}
    assert f"1 damaged line is skipped in {toy.study().events_folder}: {file.name}" in toy.output_of("status", "toy")
    assert "nothing to start" in toy.launch("--wait").stdout


@pytest.fixture
def damaged(toy: Toy) -> tuple[Toy, str, Path]:
    """A finished chain, one of its parents and the file of its result."""
    assert toy.launch("--wait", experiment="chain").returncode == 0
    file = next((toy.study("chain").path / "store").glob("*/*/answer.txt"))
    return toy, file.parent.name.split(".")[0], file


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "cut", "flipped"])
def test_lost_predictions_run_again_with_what_depends_on_them(damaged: tuple[Toy, str, Path], how: str) -> None:
    toy, job, file = damaged
    data = bytearray(file.read_bytes())
    if how == "deleted":
        file.unlink()
    elif how == "cut":
        file.write_bytes(data[:1])
    else:
        data[0] ^= 1
        file.write_bytes(data)
    plan = toy.plan(experiment="chain")
    assert plan["stages"]["fit"]["lost"] == 1
    assert toy.launch("--wait", experiment="chain").returncode == 0
    assert toy.states("chain") == {"done": 6}
    again = {name for name, count in toy.executions().items() if count == 2}
    assert again == {job}
    attempts = sorted(folder.name.rsplit(".")[-1] for folder in (toy.study("chain").path / "store").glob("*/*"))
    assert attempts.count("2") == 2
