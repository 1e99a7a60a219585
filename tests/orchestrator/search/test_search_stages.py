"""A search of a study with several stages: what a trial is, what counts for it, and what all trials share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_server import forked_python
from searchtoy import add_stages, open_search, search_of, trained_epochs
from toyproject import Toy, make_toy

from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.search_decisions import PRUNED
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.search.trial_results import OpenTrial, ended_trials


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The project whose workers are not started: the test does what they would do."""
    for module in ("search", "submit"):
        monkeypatch.setattr(f"seedfold.orchestrator.dispatch.{module}.start_worker", lambda submission: None)
    toy = make_toy(tmp_path / "project")
    add_stages(toy)
    return toy


def launch(toy: Toy, *args: str) -> StudySearch:
    ended = toy.launch(*args, "--detach", experiment="hunt")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return open_search(toy)


def jobs_of(search: StudySearch, number: int) -> dict[str, list[str]]:
    """The jobs of a trial by their stages."""
    found: dict[str, list[str]] = {}
    for job in next(one.jobs for one in search.decisions.records if one.trial == number):
        found.setdefault(search.states.stage_of(job), []).append(job)
    return found


def end(search: StudySearch, kind: str, *jobs: str, score: float = 0.5, epochs: int = 1) -> StudySearch:
    """Record how jobs ended, and let the search decide what it can."""
    writer = EventWriter(search.ledger.study.events_folder)
    for job in jobs:
        details: dict[str, Any] = {"epochs": epochs, "metrics": {"val/score": score}}
        if kind == "failed":
            details = {"kind": "config", "reason": "none", "digest": "d"}
        writer.append(kind, job=job, n=search.ledger.record_of(job).latest_attempt + 1, **details)
    writer.close()
    search.states.refresh()
    while search.step():
        search.states.refresh()
    return search


def test_a_trial_is_the_jobs_of_all_stages_that_depend_on_it(toy: Toy) -> None:
    planned = toy.output_of("plan", "--config-dir", "conf", "experiment=hunt")
    assert "each trial is 3 jobs, and 1 job for all of them" in planned
    search = launch(toy)
    # Two jobs train at a time in each of the two trials, and the last stage takes no place while it waits.
    assert len(search.decisions.records) == 2
    first, second = jobs_of(search, 0), jobs_of(search, 1)
    assert {stage: len(jobs) for stage, jobs in first.items()} == {"prepare": 1, "train": 2, "judge": 1}
    assert first["prepare"] == second["prepare"]
    assert first["judge"] != second["judge"]
    assert [search.pause_after(job) for stage in first for job in first[stage]] == [None, 1, 1, None]
    assert [job for stage in first for job in first[stage] if search.is_ready(job)] == first["prepare"]


def test_a_trial_that_is_given_up_takes_nothing_from_others(toy: Toy) -> None:
    search = launch(toy)
    jobs = jobs_of(search, 0)
    assert search.decisions.append(replace(search.decisions.records[0], kind="prune", told=(), jobs=()))
    end(search, "paused")
    for job in (*jobs["train"], *jobs["judge"]):
        assert search.states.of(job).reason == PRUNED
    assert search.states.of(jobs["prepare"][0]).state == "submitted"
    # Were it cancelled by somebody who knew of one trial only, the others bring it back.
    writer = EventWriter(search.ledger.study.events_folder)
    writer.append("cancelled", jobs={jobs["prepare"][0]: 0}, reason=PRUNED)
    writer.close()
    end(search, "paused")
    assert search.states.of(jobs["prepare"][0]).state == "submitted"


def test_where_a_job_of_all_trials_fails_no_other_trial_begins(toy: Toy) -> None:
    search = end(launch(toy), "failed", *jobs_of(open_search(toy), 0)["prepare"])
    assert len(search.decisions.records) == 2
    assert search.is_over()
    assert search_of(toy)["failed"] == 2
    toy.output_of("resume", "hunt", "--detach")
    again = open_search(toy)
    assert not again.is_over()
    assert [trial.state for trial in again.history()] == ["running", "running"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("search.stage=judges", "search.stage: no stage judges (did you mean 'judge'?); stages: prepare, train, judge"),
        ("search.stage=prepare", "search.stage: prepare does not depend on the searched keys; name one that does"),
        ("search.stage=null", "search.halving: trials have several stages; say which one is trained with search.stage"),
    ],
)
def test_a_stage_that_says_nothing_of_a_trial_is_refused(toy: Toy, override: str, words: str) -> None:
    ended = toy.launch(override, experiment="hunt")
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not toy.study("hunt").path.exists()


@pytest.mark.slow
def test_later_stages_run_for_trials_that_were_trained_to_their_end(tmp_path: Path) -> None:
    toy = replace(make_toy(tmp_path / "project"), forked_worker=forked_python)
    add_stages(toy)
    ended = toy.launch("--wait", "search.parallel=2", "search.halving.max=3", "epochs=3", experiment="hunt")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len((toy.data / "prepared.txt").read_text().split()) == 1
    found, search = search_of(toy), open_search(toy)
    assert (found["trials"], found["paused"], found["failed"]) == (6, 0, 0)
    assert found["done"] >= 1
    done = [trial for trial in search.history() if trial.state == "done"]
    judged = [job for trial in done for job in jobs_of(search, trial.number)["judge"]]
    assert sorted((toy.data / "judged.txt").read_text().split()) == sorted(judged)
    assert toy.states("hunt").keys() <= {"done", "paused", "cancelled"}
    # The metric is that of the stage that is named, and else of the last one that has it.
    best = max(done, key=lambda trial: trial.value or (0.0,))
    assert best.value == pytest.approx([(1 - (best.params["x"] - 0.7) ** 2) * 3 / 4 + 0.0005])
    trial = OpenTrial(
        best.number, tuple(job for jobs in jobs_of(search, best.number).values() for job in jobs), None, ""
    )
    for metric, value in (("val/score", (best.value or (0.0,))[0]), ("test/score", 10 * best.params["x"])):
        settings = replace(search.settings, stage=None, halving=None, metrics=(metric,))
        [told] = ended_trials([trial], search.states, settings, is_cancelled=False)
        assert told.values == pytest.approx([value])

    # A person has a training done again, from its beginning, and what follows from it. The search has decided already.
    before = len(trained_epochs(toy)), len(search.decisions.records)
    toy.output_of("rerun", "hunt", "--stage", "train", "--limit", "1", "--wait")
    assert len(trained_epochs(toy)) == before[0] + 3
    assert len((toy.data / "judged.txt").read_text().split()) == len(judged) + 1
    assert toy.states("hunt").keys() <= {"done", "paused", "cancelled"}
    assert len(open_search(toy).decisions.records) == before[1]
