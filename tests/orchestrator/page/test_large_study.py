"""A large study is answered without the description and the event of each job, and answered rightly."""

from __future__ import annotations

import json
import time
from collections import Counter
from itertools import product
from typing import Any
from unittest.mock import patch

import pytest
from page_client import ask, open_page
from starlette.testclient import TestClient

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.code.code_records import record_code
from seedfold.orchestrator.ledger.event_log import EventLog
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import done_event_details
from seedfold.orchestrator.ledger.plan_jobs import PlanJobs
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.page import kept_studies, study_summary
from seedfold.orchestrator.page.kept_studies import KeptStudies
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.results.store import published

DONE = 2000
SHOWN = 50
WAITING, FAILED = 3, 2


def description(number: int, axes: dict[str, Any]) -> JobDescription:
    job = f"{number * 2654435761 % (1 << 32):08x}".ljust(64, "0")
    return JobDescription(job, "large", "train", axes, {"width": 3, **axes}, (), Resources(), "builtins.print")


def finish(study: StudyFolder, job: JobDescription, code: str, events: EventWriter) -> None:
    """Have a job published and done."""
    final, staging = study.result_folder(job.id, 1), study.path / "staging"
    staging.mkdir()
    accuracy = job.axes["seed"] / 1000
    (staging / "metrics.json").write_text(
        json.dumps([{"split": "test", "head": "main", "metric": "accuracy", "value": accuracy}])
    )
    described = {"id": job.id, "study": job.study, "stage": job.stage, "axes": job.axes, "run": job.run, "config": {}}
    facts = {"attempt": 1, "parents": {}, "reads": {}, "code": code, "provenance": {"host": f"host{job.axes['fold']}"}}
    times = {"started": time.time() - 1, "ended": time.time()}
    result = published.publish(staging, final, {**described, **facts, **times})
    events.append("done", **done_event_details(job.id, 1, result, final))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = Root(tmp_path_factory.mktemp("large") / "runs")
    study = root.study_folder("large")
    axes = [{"lr": lr, "seed": seed, "fold": fold} for lr, seed, fold in product((0.1, 0.01), range(300), range(4))]
    jobs = [description(number, each) for number, each in enumerate(axes[: DONE + FAILED + WAITING])]
    with patch("os.fsync"):
        root.mark_as_root()
        write_plan(study, PlanHeader.create([], [], {}, root.path), jobs)
        code, events = record_code(study, "builtins.print"), EventWriter(study.events_folder)
        for number, job in enumerate(jobs):
            if number < FAILED:
                events.append("failed", job=job.id, n=1, reason="no", kind="error", digest="d", seconds=1.0)
            elif number < DONE + FAILED:
                finish(study, job, code, events)
    return root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many descriptions, events and results were read; the headline table, which needs all results, is not made."""
    found: Counter[str] = Counter()

    def count(owner: type, name: str, what: str) -> None:
        read = getattr(owner, name)

        def counting(*arguments: Any) -> Any:
            found[what] += 1
            return read(*arguments)

        monkeypatch.setattr(owner, name, counting)

    count(PlanJobs, "job", "descriptions")
    count(EventLog, "_events_at", "events")
    load = published.load_result
    monkeypatch.setattr(
        "seedfold.orchestrator.page.kept_results.load_result",
        lambda folder: (found.update(["results"]), load(folder))[1],
    )
    monkeypatch.setattr(study_summary, "_make_headline", lambda study: None)
    return found


def rows_of(answer: Any) -> list[dict[str, Any]]:
    keys = [column["key"] for column in answer["columns"]]
    return [dict(zip(keys, row, strict=True)) for row in answer["rows"]]


@pytest.mark.slow
def test_what_is_not_shown_is_not_read(root: Root, reads: Counter[str]) -> None:
    page = open_page(root.path)
    [listed] = ask(page, "studies")
    assert listed["states"]["done"] == DONE
    # Of those that are not done each is looked at, of the others one.
    few = 4 * (1 + FAILED + WAITING)
    assert reads["descriptions"] <= few
    assert reads["events"] <= few
    assert reads["results"] == 0
    study = ask(page, "studies/large")
    assert (study["jobs"], study["states"]["done"]) == (DONE + FAILED + WAITING, DONE)
    assert [(each["key"], each["total"]) for each in study["axes"]] == [("lr", 2), ("seed", 300), ("fold", 4)]
    assert reads["descriptions"] <= 2 * few
    assert reads["events"] <= 2 * few
    assert reads["results"] <= 100, "for the names of metrics"
    ask(page, "studies/large")
    reads.clear()
    ask(page, "studies/large")
    assert reads["descriptions"] + reads["events"] + reads["results"] == 0
    for query in ({}, {"where": "seed>=5 fold=1"}, {"sort": "seed", "descending": "1"}):
        reads.clear()
        assert len(ask(page, "studies/large/jobs", size=SHOWN, **query)["rows"]) == SHOWN
        assert reads["descriptions"] <= SHOWN + few
        assert reads["events"] <= SHOWN + few
        assert reads["results"] <= SHOWN
    reads.clear()
    assert len(ask(page, "studies/large/jobs", group="fold", size=1)["groups"]) == 4
    assert reads["events"] <= few


QUESTIONS = (
    {},
    {"page": "7"},
    {"where": "lr=0.01 seed>=100"},
    {"where": "fold=2", "state": "done", "sort": "seed", "descending": "1"},
    {"sort": "host", "page": "3"},
    {"sort": "state"},
    {"sort": "seconds"},
    {"sort": "test.accuracy", "descending": "1", "where": "fold=1"},
    {"group": "seed", "where": "seed<5"},
    {"group": "host"},
    {"state": "failed"},
    {"state": "waiting"},
)


@pytest.mark.slow
def test_jobs_that_are_alike_are_answered_as_one_by_one(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_summary, "_make_headline", lambda study: None)

    def answers(page: TestClient) -> list[Any]:
        summary = ask(page, "studies/large")
        del summary["elapsed_s"]
        tables = [ask(page, "studies/large/jobs", **question) for question in QUESTIONS]
        return [summary, *tables, *(ask(page, f"studies/large/{part}") for part in ("curves", "points"))]

    together = answers(open_page(root.path))
    monkeypatch.setattr(JobStates, "find_done", lambda states, planned: {})
    for told, expected in zip(together, answers(open_page(root.path)), strict=True):
        assert told == expected
    table = together[1 + QUESTIONS.index({"sort": "test.accuracy", "descending": "1", "where": "fold=1"})]
    accuracies = [row["test.accuracy"] for row in rows_of(table)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] == 0.299


def test_a_snapshot_stays_as_it_was_while_the_study_goes_on(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_studies, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(kept_studies, "_REST_PER_LOOK", 0.0)
    study = KeptStudies(root, lambda name: None).get("large")
    before = study.snapshot()
    assert study.snapshot() is before, "nothing is new"
    place = FAILED + 1
    job = before.views[place].id
    events = EventWriter(root.study_folder("large").events_folder)
    events.append("failed", job=job, n=2, reason="no", kind="error", digest="d", seconds=1.0)
    after = study.snapshot()
    assert after.version > before.version
    assert (after.view_of(job).state, after.view_of(job).attempt) == ("failed", 2)
    old = before.view_of(job)
    event = old.job_state.event
    assert event is not None
    assert (old.state, old.attempt, event["e"], event["n"]) == ("done", 1, "done", 1)
