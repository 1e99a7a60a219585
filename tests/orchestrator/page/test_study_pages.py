"""What the page answers about a study that is done, and that it is what the commands print."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from page_client import ask, open_page
from starlette.testclient import TestClient
from toyproject import Toy, read_files

from seedfold.orchestrator.cli.group import cli
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.page.commands import study_commands
from seedfold.orchestrator.page.kept_studies import KeptStudy
from seedfold.orchestrator.state.job_states import STATES
from seedfold.results.store.thumbnails import PNG_SIGNATURE, write_thumbnails


@pytest.fixture(scope="module")
def page(finished: Toy) -> TestClient:
    return open_page(finished.root)


def rows_of(answer: Any) -> list[dict[str, Any]]:
    keys = [column["key"] for column in answer["columns"]]
    return [dict(zip(keys, row, strict=True)) for row in answer["rows"]]


def job_ids(page: TestClient) -> list[str]:
    return [row["id"] for row in rows_of(ask(page, "studies/toy/jobs"))]


def test_the_list_of_studies_is_that_of_the_command(finished: Toy, page: TestClient) -> None:
    assert ask(page, "studies") == finished.json_of("ls")


def test_a_study_is_as_status_says(finished: Toy, page: TestClient) -> None:
    study, status = ask(page, "studies/toy"), finished.json_of("status", "toy")
    assert study["states"] == status["states"]
    assert {each["stage"]: each["states"] for each in study["stages"]} == status["stages"]
    assert (study["running"], study["eta_s"], study["failures"], study["queue"]) == ([], None, [], [])
    assert study["axes"] == [
        {"key": "seed", "name": "seed", "values": [0, 1], "total": 2},
        {"key": "fold", "name": "fold", "values": [0, 1, 2], "total": 3},
    ]
    assert "test.accuracy" in study["metrics"]
    assert [each["does"] for each in study["commands"]] == ["write a report to send"], "nothing else can be done"


def test_the_headline_table_has_the_means_of_the_results(finished: Toy, page: TestClient) -> None:
    def headline() -> Any:
        # It may take longer than an answer may: then an answer without it comes first.
        while (study := ask(page, "studies/toy"))["headline_pending"]:
            pass
        return study["headline"]

    table = headline()
    [row] = rows_of(table)
    printed = finished.output_of(
        "results", "toy", "metrics", "--format", "json", "--where", "split=test metric=accuracy"
    )
    mean = fmean(each["value"] for each in json.loads(printed))
    assert row["jobs"] == "6"
    assert math.isclose(row["test accuracy"]["value"], mean)
    assert "over seed, fold" in table["caption"]


def test_jobs_are_selected_sorted_and_cut_into_pages(page: TestClient) -> None:
    answer = ask(page, "studies/toy/jobs", where=["seed=1", "fold>=1"], sort="fold", descending=1, size=1, page=2)
    assert (answer["total"], answer["page"], answer["size"]) == (2, 2, 1)
    [row] = rows_of(answer)
    assert (row["seed"], row["fold"], row["state"], row["stage"]) == (1, 1, "done", "train")
    assert "--where seed=1 --where 'fold>=1'" in answer["command"]
    best = rows_of(ask(page, "studies/toy/jobs", sort="test.accuracy", descending=1))
    accuracies = [row["test.accuracy"] for row in best]
    assert accuracies == sorted(accuracies, reverse=True)
    assert rows_of(ask(page, "studies/toy/jobs", sort="test/accuracy", descending=1)) == best
    assert rows_of(ask(page, "studies/toy/jobs", page=99)) == []
    assert ask(page, "studies/toy/jobs", state="failed")["total"] == 0


def test_jobs_are_grouped(page: TestClient) -> None:
    groups = ask(page, "studies/toy/jobs", group="seed")["groups"]
    assert [(each["value"], each["jobs"], each["states"]) for each in groups] == [
        (0, 3, {"done": 3}),
        (1, 3, {"done": 3}),
    ]
    rows = rows_of(ask(page, "studies/toy/jobs", where=groups[0]["where"]))
    assert math.isclose(groups[0]["means"]["val.auroc"], sum(row["val.auroc"] for row in rows) / 3)


WRONG = (
    ({"where": "sead=1"}, "did you mean 'seed'"),
    ({"where": "seed=<script>alert(1)</script> ="}, "expected a condition"),
    ({"where": "seed"}, "expected a condition"),
    ({"stage": "jab"}, "no such stage"),
    ({"state": "dune"}, "did you mean 'done'"),
    ({"sort": "test.acuracy"}, "did you mean 'test.accuracy'"),
    ({"group": "x" * 5000}, "no such column"),
    ({"page": "0"}, "at least 1"),
    ({"size": "many"}, "whole number"),
)


@pytest.mark.parametrize(("query", "text"), WRONG)
def test_a_wrong_question_is_answered_with_one_line(page: TestClient, query: dict[str, str], text: str) -> None:
    error = ask(page, "studies/toy/jobs", status=400, **query)["error"]
    assert text in error
    assert "\n" not in error


def test_a_wrong_condition_is_told_as_the_command_tells_it(finished: Toy, page: TestClient) -> None:
    told = finished.run_in_process("status", "toy", "--where", "sead=1").stderr.strip()
    assert told == f"seedfold: {ask(page, 'studies/toy/jobs', status=400, where='sead=1')['error']}"


def test_points_have_the_axes_and_metrics_of_each_done_job(page: TestClient) -> None:
    answer = ask(page, "studies/toy/points")
    assert (answer["total"], answer["shown"], answer["stage"]) == (6, 6, "train")
    assert {(row["seed"], row["fold"]) for row in rows_of(answer)} == {(s, f) for s in (0, 1) for f in (0, 1, 2)}
    assert all(0 <= row["test.auroc"] <= 1 for row in rows_of(answer))


def test_curves_of_the_validation_split_are_pooled_as_in_the_report(page: TestClient) -> None:
    answer = ask(page, "studies/toy/evaluation")
    assert (answer["split"], answer["splits"]) == ("val", ["test", "val"])
    [roc], [pr] = answer["roc"], answer["pr"]
    assert 0.5 < roc["auc"] <= 1
    assert 0 < pr["auc"] <= 1
    assert roc["points"][-1] == [1.0, 1.0]
    # Each of 30 samples once for each of 2 seeds.
    assert sum(map(sum, answer["confusion"]["counts"])) == 60
    assert answer["confusion"]["labels"] == ["0", "1", "2"]


def test_other_splits_have_a_curve_of_each_setting(page: TestClient) -> None:
    answer = ask(page, "studies/toy/evaluation", split="test", where="seed=0")
    assert sum(map(sum, answer["confusion"]["counts"])) == 3 * 30
    assert "no job has the split" in ask(page, "studies/toy/evaluation", split="tset")["note"]
    assert ask(page, "studies/toy/evaluation", status=400, where="sead=0")["error"].startswith("sead")


def test_a_job_is_as_show_says(finished: Toy, page: TestClient) -> None:
    job = job_ids(page)[0]
    shown, found = finished.json_of("show", job), ask(page, f"studies/toy/jobs/{job[:12]}")
    assert found["id"] == job
    assert found["attempts"] == shown["attempts"]
    assert found["axes"] == shown["axes"]
    assert found["configuration"].splitlines()[0] in finished.output_of("show", job)
    assert {file["path"].rsplit("/", 1)[1] for file in found["files"]} >= {"predictions.val.parquet", "log.1.txt"}
    assert any(f"seedfold run {job[:12]} --study toy" in each["command"] for each in found["repeat"])


def test_jobs_are_compared(page: TestClient) -> None:
    first, second, third = job_ids(page)[:3]
    [row] = ask(page, f"studies/toy/jobs/{first}/difference", other=second)["rows"]
    assert row == {"key": "fold", "this": 0, "other": 1, "counts": True}
    found = ask(page, "compare", jobs=",".join(f"toy/{job}" for job in (first, second, third)))
    assert found["configuration"] == [{"key": "fold", "values": [0, 1, 2], "counts": True}]
    assert all(len(each["values"]) == 3 for each in found["metrics"])
    assert ask(page, "compare", status=400, jobs=f"toy/{first}")["error"].startswith("jobs: name 2")
    assert "no job has the id" in ask(page, "compare", status=404, jobs=f"toy/{first},toy/zz")["error"]


def test_a_log_is_read_in_parts(finished: Toy, page: TestClient) -> None:
    job = job_ids(page)[0]
    whole = ask(page, f"studies/toy/jobs/{job}/log")
    assert whole["text"].startswith("seed 0, attempt 1")
    assert whole["next"] == whole["size"] == len(whole["text"].encode())
    assert ask(page, f"studies/toy/jobs/{job}/log", offset=-2)["text"] == whole["text"][-2:]
    assert ask(page, f"studies/toy/jobs/{job}/log", offset=10**9)["text"] == ""
    assert ask(page, f"studies/toy/jobs/{job}/log", attempt=9)["text"] == ""


def test_the_worst_predictions_come_first(page: TestClient) -> None:
    job = job_ids(page)[0]
    answer = ask(page, f"studies/toy/jobs/{job}/predictions", split="val", size=4)
    assert (answer["total"], answer["images"], len(answer["rows"])) == (10, False, 4)
    errors = [row["error"] for row in rows_of(answer)]
    assert errors == sorted(errors, reverse=True)
    worst = rows_of(answer)[0]
    assert math.isclose(worst["error"], -math.log(worst["probability_of_target"]))
    assert "no such split" in ask(page, f"studies/toy/jobs/{job}/predictions", status=400, split="tset")["error"]
    ask(page, f"studies/toy/jobs/{job}/image", status=404, sample="s000", split="val")


def test_thumbnails_that_a_job_has_kept_are_shown_and_nothing_else(done: Toy) -> None:
    page = open_page(done.root)
    job = job_ids(page)[0]
    worst = rows_of(ask(page, f"studies/toy/jobs/{job}/predictions", split="val", size=2))[0]["sample"]
    picture = PNG_SIGNATURE + b"a picture"
    write_thumbnails(done.study("toy").result_folder(job, 1), "val", {worst: picture})
    page = open_page(done.root)
    answer = ask(page, f"studies/toy/jobs/{job}/predictions", split="val", size=2)
    assert (answer["images"], answer["with_image"]) == (True, [worst])
    assert not ask(page, f"studies/toy/jobs/{job}/predictions", split="test")["images"]
    shown = page.get(f"/api/studies/toy/jobs/{job}/image", params={"split": "val", "sample": worst})
    assert (shown.status_code, shown.content) == (200, picture)
    assert (shown.headers["content-type"], shown.headers["x-content-type-options"]) == ("image/png", "nosniff")
    for wrong in ({"split": "test", "sample": worst}, {"split": "../val", "sample": worst}, {"split": "val"}):
        ask(page, f"studies/toy/jobs/{job}/image", status=503 if "/" in wrong["split"] else 404, **wrong)


@pytest.mark.parametrize("address", ["studies/nothing", "studies/toy/jobs/abc", "studies/toy/jobs/ffffffffffff"])
def test_what_is_not_there_is_not_found(page: TestClient, address: str) -> None:
    assert "\n" not in ask(page, address, status=404)["error"]


def test_looking_at_everything_writes_nothing(finished: Toy) -> None:
    before = read_files(finished.root)
    page = open_page(finished.root)
    job = job_ids(page)[0]
    views = (
        "",
        "/jobs",
        "/curves",
        "/points",
        "/evaluation",
        *(f"/jobs/{job}{more}" for more in ("", "/log", "/curves")),
    )
    for view in views:
        ask(page, f"studies/toy{view}")
    ask(page, f"studies/toy/jobs/{job}/predictions")
    ask(page, "studies")
    assert read_files(finished.root) == before


def test_the_command_lines_that_are_shown_are_ones_that_the_command_takes(page: TestClient) -> None:
    job = job_ids(page)[0]
    study = cast("KeptStudy", SimpleNamespace(name="toy", root=Root(Path("my runs"))))
    counts = {"states": dict.fromkeys(STATES, 1), "held": 1}
    shown = [each["command"] for each in study_commands(study, counts, {"running": 1})]
    chosen = ask(page, "studies/toy/jobs", where="seed=1 fold>=1", stage="train")
    shown += [each["command"] for each in chosen["commands"]]
    shown += [each["command"] for each in ask(page, f"studies/toy/jobs/{job}")["repeat"]]
    assert {line.split()[1] for line in shown} >= {"watch", "cancel", "resume", "rerun", "results", "run", "show"}
    for line in shown:
        program, name, *words = shlex.split(line)
        assert program == "seedfold"
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        # Raises a usage error for an option or argument that the command does not have.
        command.make_context(name, words)
