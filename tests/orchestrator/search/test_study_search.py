"""A search on this machine: its decisions, its trials, and what becomes of them when a process dies."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_server import forked_python
from searchtoy import add_hunt, decision_files, open_search, search_of, trained_epochs
from toyproject import Toy, make_toy, wait_until

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.search_decisions import PRUNED, pruned_jobs
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.search.trial_jobs import ChangedStudyError
from seedfold.orchestrator.search.warm_start import read_warm_trials


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The project with a search, whose workers are not started: the test does what they would do."""
    for module in ("search", "submit"):
        monkeypatch.setattr(f"seedfold.orchestrator.dispatch.{module}.start_worker", lambda submission: None)
    toy = make_toy(tmp_path / "project")
    add_hunt(toy)
    return toy


def end_jobs(toy: Toy, kind: str, number: int, score: float = 0.0, epochs: int = 1) -> None:
    """Record how the jobs of a trial ended."""
    search = open_search(toy)
    jobs = next(one.jobs for one in search.decisions.records if one.trial == number)
    writer = EventWriter(toy.study("hunt").events_folder)
    for job in jobs:
        attempt = search.ledger.record_of(job).latest_attempt + 1
        details: dict[str, Any] = {"epochs": epochs, "metrics": {"val/score": score}}
        if kind == "failed":
            details = {"kind": "config", "reason": "none", "digest": "d"}
        writer.append(kind, job=job, n=attempt, **details)
    writer.close()


def steps(search: StudySearch) -> int:
    """Let a search decide as much as it can; return how many decisions that were."""
    search.states.refresh()
    count = 0
    while search.step():
        count += 1
        search.states.refresh()
    return count


def launch(toy: Toy, *args: str) -> str:
    ended = toy.launch(*args, "--detach", experiment="hunt")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_promoted_trials_go_on_and_the_others_stay_paused(toy: Toy) -> None:
    assert "search started" in launch(toy)
    search = open_search(toy)
    assert len(search.decisions.records) == 2, "the launch decides as many as may run at a time"
    assert not search.step()
    assert toy.states("hunt") == {"submitted": 2} or toy.states("hunt") == {"waiting": 2}
    for number, score in ((0, 0.2), (1, 0.9)):
        end_jobs(toy, "paused", number, score)
    steps(search)
    end_jobs(toy, "paused", 2, 0.1)
    steps(search)
    kinds = [(one.kind, one.trial, one.epochs) for one in search.decisions.records]
    assert ("promote", 1, 3) in kinds
    promoted = next(one for one in search.decisions.records if one.kind == "promote")
    assert [told.trial for one in search.decisions.records for told in one.told] == [0, 1, 2]
    [job] = next(one.jobs for one in search.decisions.records if one.trial == promoted.trial)
    assert search.pause_after(job) == 3
    assert search.states.of(job).state != "paused"
    best = search_of(toy)["best"]
    assert (best["trial"], best["value"]) == (1, 0.9)
    assert toy.states("hunt")["paused"] == 2


def test_of_two_who_decide_at_once_one_decides(toy: Toy) -> None:
    launch(toy)
    end_jobs(toy, "paused", 0)
    first, second = open_search(toy), open_search(toy)
    assert steps(first) == 1
    assert not second.step(), "it reads what the first one has decided, and there is nothing left to decide"
    assert len(second.decisions.records) == 3
    assert [one.number for one in second.history()] == [0, 1, 2]


def test_a_decision_of_a_killed_process_is_carried_out_by_the_next(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    launch(toy)
    end_jobs(toy, "paused", 0)
    dying = open_search(toy)
    with monkeypatch.context() as patch:
        patch.setattr(dying, "carry_out", lambda composed=None: None)
        assert dying.step()
    assert len(decision_files(toy)) == 3
    assert len(dying.ledger.plans.trial_jobs) == 2
    file = decision_files(toy)[2]
    file.write_text(json.dumps({**json.loads(file.read_text()), "time": 1.0}))
    heir = open_search(toy)
    heir.carry_out()
    assert len(heir.ledger.plans.trial_jobs) == 3
    assert set(heir.ledger.plans.trial_jobs) == {job for one in heir.decisions.records for job in one.jobs}


def test_who_plans_a_trial_knows_which_jobs_have_ended_meanwhile(toy: Toy) -> None:
    launch(toy)
    search = open_search(toy)
    [job] = search.decisions.records[0].jobs
    end_jobs(toy, "paused", 1)
    search.states.refresh()
    assert search.states.of(job).state == "submitted"
    end_jobs(toy, "paused", 0)
    assert search.step()
    assert len(search.ledger.plans.trial_jobs) == 3
    # Else this process, if it is a worker, begins it again.
    assert search.states.of(job).state == "paused"


def test_a_failed_trial_is_told_and_blocks_nothing(toy: Toy) -> None:
    launch(toy)
    end_jobs(toy, "failed", 0)
    search = open_search(toy)
    assert steps(search) == 1
    assert [trial.state for trial in search.history()] == ["failed", "running", "running"]
    assert search_of(toy)["failed"] == 1


def test_a_failed_trial_may_be_tried_again(toy: Toy) -> None:
    launch(toy, "+search.failed=retry", "search.parallel=1")
    end_jobs(toy, "failed", 0)
    search = open_search(toy)
    assert steps(search) == 1
    assert [(one.kind, one.trial) for one in search.decisions.records] == [("start", 0), ("retry", 0)]
    assert toy.states("hunt") == {"submitted": 1}
    end_jobs(toy, "failed", 0)
    assert steps(search) == 1, "once"
    assert [trial.state for trial in search.history()] == ["failed", "running"]


def test_what_a_search_gives_up_is_stopped_and_not_resumed(toy: Toy) -> None:
    launch(toy, "search.parallel=1")
    search = open_search(toy)
    first = search.decisions.records[0]
    assert search.decisions.append(replace(first, kind="prune", told=(), jobs=()))
    search.carry_out()
    assert toy.states("hunt") == {"cancelled": 1}
    toy.output_of("resume", "hunt", "--detach")
    states = open_search(toy).states
    assert [states.of(job).reason for job in first.jobs] == [PRUNED]
    assert pruned_jobs(toy.study("hunt")) == set(first.jobs)


def test_nothing_begins_when_the_budget_is_used_up(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    launch(toy, "+search.budget={wall_time: 1h}", "search.parallel=1")
    search = open_search(toy)
    assert not search.is_budget_used()
    monkeypatch.setattr("seedfold.orchestrator.search.study_search.time.time", lambda: 1e12)
    assert search.is_budget_used()
    assert not search.step()
    assert not search.is_over(), "the first trial still runs"
    end_jobs(toy, "paused", 0)
    search.states.refresh()
    assert search.is_over()


def test_a_metric_that_no_job_has_is_named(toy: Toy) -> None:
    launch(toy, "search.metric=val/accuracy")
    end_jobs(toy, "paused", 0)
    search = open_search(toy)
    steps(search)
    assert [trial.state for trial in search.history()] == ["failed", "running", "running"]
    assert "no job of the trial has a metric val/accuracy; metrics: val/score" in toy.output_of("status", "hunt")


def test_a_search_goes_on_with_the_files_of_its_launch(toy: Toy) -> None:
    launch(toy)
    add_hunt(toy, epochs="epochs: 27")
    end_jobs(toy, "paused", 0)
    search = open_search(toy)
    assert search.step()
    assert {job.config["epochs"] for job in search.ledger.plans.trial_jobs.values()} == {9}
    file = toy.study("hunt").path / "search" / "launch.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "digest": "of another version of Seedfold"}))
    end_jobs(toy, "paused", 1)
    end_jobs(toy, "paused", 2)
    with pytest.raises(ChangedStudyError, match="has changed since it was launched"):
        steps(open_search(toy))
    refused = toy.launch("--detach", experiment="hunt")
    assert refused.returncode == 2
    assert "study hunt has changed since 3 trials of its search began" in refused.stderr
    launch(toy, "--replace")
    planned = open_search(toy).ledger.plans.trial_jobs.values()
    assert {job.config["epochs"] for job in planned} == {9, 27}


def test_cancel_ends_a_search_and_resume_goes_on(toy: Toy) -> None:
    launch(toy)
    steps(open_search(toy))
    toy.output_of("cancel", "hunt")
    search = open_search(toy)
    assert search.is_over()
    assert not search.step()
    toy.output_of("resume", "hunt", "--detach")
    again = open_search(toy)
    assert not again.is_over()
    assert [trial.state for trial in again.history()] == ["running", "running"]
    assert toy.states("hunt").keys() <= {"submitted", "waiting"}
    toy.output_of("hold", "hunt")
    assert not any(again.states.refresh() and again.is_ready(job) for job in again.open_jobs())
    toy.output_of("release", "hunt")
    assert not any(again.states.refresh() and again.states.of(job).is_held for job in again.open_jobs())


def test_the_best_trial_is_trained_to_its_end_with_more_seeds(toy: Toy) -> None:
    launch(toy)
    steps(open_search(toy))
    end_jobs(toy, "paused", 0, 0.2)
    end_jobs(toy, "paused", 1, 0.9)
    ended = toy.run_in_process("launch", "hunt", "--best", "1", "seed=0,1", "--detach")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    # A worker of the search is alive, and takes the job that it had paused.
    assert "hunt: 2 jobs, started 1" in ended.stdout
    search = open_search(toy)
    x = search.decisions.records[1].params["x"]
    jobs = [job for job in search.ledger.plans.current_jobs.values() if job.axes["x"] == x]
    assert sorted(job.axes["seed"] for job in jobs) == [0, 1]
    assert {search.states.of(job.id).state for job in jobs} == {"submitted"}
    assert [search.pause_after(job.id) for job in jobs] == [None, None]
    last = max(search.ledger.live_submissions, key=lambda one: one.created)
    assert list(last.jobs) == [job.id for job in jobs if job.axes["seed"] == 1]
    assert search_of(toy)["trials"] == 2
    refused = toy.run_in_process("launch", "--best", "1", "seed=0,1")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--best: name the study of the search" in refused.stderr


def test_a_searched_key_may_be_added_to_the_configuration(toy: Toy) -> None:
    add_hunt(toy, space="  space: {x: {uniform: [0, 1]}, +note: [a, b]}")
    launch(toy)
    jobs = open_search(toy).ledger.plans.trial_jobs.values()
    assert [job.config["note"] for job in jobs] == [job.axes["note"] for job in jobs]


def test_a_search_begins_with_what_another_study_has_found(toy: Toy) -> None:
    launch(toy)
    end_jobs(toy, "paused", 0, 0.2)
    search = open_search(toy)
    with pytest.raises(UsageError, match="no study 'elsewhere'"):
        read_warm_trials(search.states, replace(search.settings, warm_start=("elsewhere",)))
    assert read_warm_trials(search.states, replace(search.settings, warm_start=("hunt",))) == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("search.metric=null", "search.metric: is missing"),
        ("search.space={z: [1, 2]}", "z"),
        ("+search.over=[fold]", "search.over: fold: no such axis"),
        ("--pilot=1", "--pilot: a search chooses its jobs itself"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(toy: Toy, override: str, words: str) -> None:
    ended = toy.launch(override, experiment="hunt")
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not toy.study("hunt").decisions_folder.exists()


def test_a_study_without_a_search_imports_and_reads_nothing_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seedfold.orchestrator.search.study_search.StudySearch.__init__", None)
    toy = make_toy(tmp_path / "project")
    assert toy.launch("--wait", experiment="light").returncode == 0
    assert "search" not in toy.json_of("status", "light")
    assert not (toy.study("light").path / "search").exists()


@pytest.mark.slow
def test_killed_again_and_again_a_search_trains_each_epoch_once(tmp_path: Path) -> None:
    toy = replace(make_toy(tmp_path / "project"), forked_worker=forked_python)
    add_hunt(toy, sleep_s="sleep_s: 0.05", trials="  trials: 5")
    launch(toy)
    for kill_after in (3, 7):
        wait_until(lambda least=kill_after: len(trained_epochs(toy)) >= least)
        toy.kill_workers()
        toy.wait_for_workers()
        toy.output_of("resume", "hunt", "--detach")
    wait_until(lambda: open_search(toy).is_over())
    toy.wait_for_workers()
    search = search_of(toy)
    assert search["trials"] == 5
    assert search["paused"] == 0
    assert search["done"] >= 1
    assert sum(search[state] for state in ("done", "pruned", "failed")) == 5
    counts = Counter(trained_epochs(toy))
    # An epoch may have been trained and not been saved when a kill came; two kills, two jobs each.
    assert sum(count - 1 for count in counts.values()) <= 4
    starts = [one.trial for one in open_search(toy).decisions.records if one.kind == "start"]
    assert starts == list(range(5))
