"""A study is looked at while its jobs run: curves grow, changes are told, and nothing is in the way of the worker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from page_client import ask, open_page
from toyproject import Toy, wait_until

from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.page.changes import Changes
from seedfold.orchestrator.page.kept_studies import KeptStudies
from seedfold.results.recording.metric_log import append_metrics

WAIT_S = 240
HOSTILE = "<script>alert('x')</script>\"&\u2028\x1b[31m"


def test_running_jobs_show_their_curves_and_failed_ones_their_logs(toy: Toy) -> None:
    toy.hold_jobs()
    assert toy.launch("--detach", "fail_seeds=[1]", "cluster.slots=2", experiment="light").returncode == 0
    page = open_page(toy.root)
    wait_until(lambda: ask(page, "studies/light")["states"]["running"] == 2)
    running = ask(page, "studies/light/jobs", state="running")
    ids = [row[0] for row in running["rows"]]
    folder = toy.study("light").job_folder(ids[0])
    for epoch, value in enumerate((0.25, float("nan"), 0.5)):
        append_metrics(folder / "records", 1, epoch, {"val/accuracy": value}, "epochs")
    answer = ask(page, "studies/light/curves")
    points = {curve["id"]: curve["points"] for curve in answer["curves"]}
    assert points[ids[0]] == [[0, 0.25], [1, None], [2, 0.5]]
    assert answer["metric"] == "val/accuracy"
    assert all(curve["running"] for curve in answer["curves"])
    assert [curve["where"] for curve in ask(page, "studies/light/curves", mean=1)["curves"]] == [""]
    assert ask(page, "studies/light/curves", mean=1)["repeated"] == ["seed", "fold"]
    [shown] = [job for job in ask(page, "studies/light")["running"] if job["id"] == ids[0]]
    assert (shown["metric"], shown["value"], shown["stage"]) == ("val/accuracy", 0.5, "train")
    toy.release_jobs()
    wait_until(lambda: ask(page, "studies/light")["states"]["failed"] == 3)
    wait_until(lambda: ask(page, "studies/light")["states"]["done"] == 3)
    study = ask(page, "studies/light")
    [failure] = study["failures"]
    assert (failure["count"], len(failure["jobs"])) == (3, 3)
    assert "unlucky" in failure["reason"]
    assert "seed 1, attempt 1" in failure["log_end"]
    assert failure["condition"] == "seed=1", "and no other job that has ended"
    assert failure["command"] == f"seedfold resume light --kind error --root {toy.root}"
    lines = [each["command"] for each in ask(page, "studies/light/jobs", state="failed")["commands"]]
    assert f"seedfold resume light --root {toy.root}" in lines
    log = ask(page, f"studies/light/jobs/{failure['jobs'][0]}/log")
    assert "ValueError" in log["text"]
    toy.wait_for_workers()


def test_names_and_values_that_are_written_to_do_harm_are_text(toy: Toy) -> None:
    toy.write_experiment(
        "hostile",
        "# @package _global_\nstudy: hostile\nrun: toy.light.run\nfold: 0\nsignal: 1\nsleep_s: 0\nfail_seeds: []\n"
        "die_seeds: []\ndeaf_seeds: []\npaths: {data: data}\nresources: {cpus: 1, memory: 1GB, time: 5min}\n"
        "seed: 0\nnote: none\nmany: none\n"
        f"matrix:\n  note: [{json.dumps(HOSTILE)}, plain]\n  many: [{json.dumps('x' * 20_000)}]\n",
    )
    assert toy.launch("--detach", experiment="hostile").returncode == 0
    page = open_page(toy.root)
    answer = page.get("/api/studies/hostile/jobs")
    assert answer.headers["content-type"] == "application/json"
    keys = [column["key"] for column in answer.json()["columns"]]
    assert answer.json()["rows"][0][keys.index("note")] == HOSTILE
    # What follows a condition of the page as a command stays one word of the shell.
    chosen = ask(page, "studies/hostile/jobs", where='note!="$(rm -rf ~)\'"')
    assert "'note!=\"$(rm -rf ~)'\"'\"'\"'" in chosen["command"]
    for row in answer.json()["rows"]:
        assert ask(page, f"studies/hostile/jobs/{row[0]}")["id"] == row[0]
    wait_until(lambda: ask(page, "studies/hostile")["states"]["done"] == 2)
    toy.wait_for_workers()


def _study_with_events(root: Path) -> EventWriter:
    folder = Root(root).study_folder("some")
    folder.plans_folder.mkdir(parents=True)
    return EventWriter(folder.events_folder)


def test_a_change_is_told_to_all_who_listen_and_nobody_else_is_looked_for(tmp_path: Path) -> None:
    events = _study_with_events(tmp_path)
    told: list[str] = []
    changes = Changes(KeptStudies(Root(tmp_path), told.append))

    async def listen() -> list[Any]:
        listeners = [changes.events() for _ in range(2)]
        comments = [await anext(listener) for listener in listeners]
        assert all(comment.startswith(":") for comment in comments)
        heard = [asyncio.ensure_future(anext(listener)) for listener in listeners]
        # The first look is at what there is; only what comes later is a change.
        while not all(each.done() for each in heard):
            events.append("cancelled", job="a", n=0)
            await asyncio.sleep(0.2)
        for listener in listeners:
            await listener.aclose()
        return [each.result() for each in heard]

    texts = asyncio.run(asyncio.wait_for(listen(), WAIT_S))
    assert texts == ['event: changed\ndata: {"study": "some"}\n\n'] * 2
    assert changes._watch is None


@pytest.mark.parametrize("damage", ["plans", "events"])
def test_a_study_that_cannot_be_read_stops_no_other(finished: Toy, tmp_path: Path, damage: str) -> None:
    (tmp_path / "toy").symlink_to(finished.study("toy").path)
    broken = tmp_path / "broken"
    (broken / "plans").mkdir(parents=True)
    (broken / damage).mkdir(exist_ok=True)
    (broken / damage / "1.jsonl").write_bytes(b"\xff\x00 not json\n")
    page = open_page(tmp_path)
    listed = {study["study"]: study for study in ask(page, "studies")}
    assert listed["toy"]["states"]["done"] == 6
    assert listed["broken"]["problem"] or listed["broken"]["jobs"] == 0
    assert ask(page, "studies/toy")["jobs"] == 6
    answer = page.get("/api/studies/broken")
    assert answer.status_code in (200, 400, 404, 503)
    assert "\n" not in answer.json().get("error", "")
