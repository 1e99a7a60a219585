"""What `plan`, `results`, `status`, the page and the report show of a search."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from page_client import ask, open_page
from searchtoy import add_hunt, decision_files
from toyproject import Toy, make_toy

pytest.importorskip("optuna", reason="Optuna is not installed")

from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.state.overview import Overview

TRIALS = 4


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A search of four trials, each paused after its first epoch; no worker is started."""
    monkeypatch.setattr("seedfold.orchestrator.dispatch.search.start_worker", lambda submission: None)
    toy = make_toy(tmp_path / "project")
    add_hunt(toy, trials=f"  trials: {TRIALS}", parallel="  parallel: 4")
    ended = toy.launch("--detach", experiment="hunt")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    writer = EventWriter(toy.study("hunt").events_folder)
    for number in range(TRIALS):
        search = StudySearch(Overview(Root(toy.root), "hunt").states)
        while search.step():
            search.states.refresh()
        if number in {one.trial for one in search.decisions.records}:
            [job] = next(one.jobs for one in search.decisions.records if one.trial == number)
            writer.append("paused", job=job, n=1, epochs=1, metrics={"val/score": 0.1 * (number + 1)})
    writer.close()
    return toy


def test_a_search_is_shown_everywhere(toy: Toy) -> None:
    planned = toy.run_in_process("plan", "--config-dir", "conf", "experiment=hunt")
    assert planned.stdout.splitlines()[:3] == [
        "hunt: a search; each trial is 1 job",
        f"search: at most {TRIALS} trials by random, 4 at a time",
        "  x  0 to 1",
    ]
    assert toy.json_of("plan", "--config-dir", "conf", "experiment=hunt")["search"]["jobs_of_a_trial"] == 1

    table = toy.run_in_process("results", "hunt", "trials", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    assert list(rows[0]) == ["trial", "state", "value", "rung", "epochs", "x"]
    assert [row["trial"] for row in rows] == [str(number) for number in range(TRIALS)]
    assert [row["epochs"] for row in rows] == ["1"] * TRIALS
    refused = toy.run_in_process("results", "hunt", "trials", "--where", "seed=0")
    assert refused.returncode == 2
    assert "--where: the table trials has no such option" in refused.stderr
    render = "render", "--config-dir", "conf", "--target", "shell", "--out", "scripts", "experiment=hunt"
    refused = toy.run_in_process(*render)
    assert refused.returncode == 2
    assert "render one of its points with ~search and the values" in refused.stderr
    first = json.loads(decision_files(toy)[0].read_text())
    point = f"x={first['params']['x']!r}"
    assert "hunt: 1 job in 1 file" in toy.run_in_process(*render, "~search", point).stdout
    assert first["jobs"][0] in (toy.folder / "scripts" / "jobs.jsonl").read_text()
    assert f"rung: {TRIALS} of 1 epochs" in toy.run_in_process("status", "hunt").stdout

    client = open_page(toy.root)
    assert ask(client, "studies/hunt")["has_search"]
    shown = ask(client, "studies/hunt/search")
    assert [trial[0] for trial in shown["trials"]] == [3, 2, 1, 0]
    assert [(rung["epochs"], rung["reached"]) for rung in shown["rungs"]] == [(1, TRIALS), (3, 0), (9, 0)]
    assert len(shown["history"]) == TRIALS

    assert toy.run_in_process("report", "hunt").returncode == 0
    report = toy.study("hunt").report_file.read_text()
    assert "Rungs of the search for val score" in report
    assert "not finished" not in report


def test_a_study_that_searches_nothing_has_no_trials(tmp_path: Path) -> None:
    toy = make_toy(tmp_path / "project")
    assert toy.launch("--detach").returncode == 0
    ended = toy.run_in_process("results", "toy", "trials")
    assert ended.returncode == 2
    assert "toy: searches nothing" in ended.stderr
    assert ask(open_page(toy.root), "studies/toy/search") == {"note": "this study searches nothing"}
