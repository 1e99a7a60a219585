"""Which jobs run, and which results count, when the question changes."""

from __future__ import annotations

import csv
import io
import shutil
import time
from typing import Any
from unittest.mock import patch

import pytest
from toyproject import Toy, read_files, wait_until

from seedfold.orchestrator.dispatch.launch import make_plan
from seedfold.orchestrator.ledger.event_log import EventLog
from seedfold.orchestrator.state.launch_plan import Plan


def _rows(toy: Toy, study: str = "toy") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(toy.output_of("results", study, "predictions", "--format", "csv"))))


def test_only_what_is_new_runs(toy: Toy) -> None:
    assert toy.launch("--wait").returncode == 0
    toy.wait_for_workers()
    before = read_files(toy.root)
    begun = time.monotonic()
    # Of a job that is done, the event that says so is enough.
    with patch.object(EventLog, "events_of", side_effect=AssertionError("all events of a job are read")):
        again = toy.launch("--wait")
    print(f"a launch with nothing to do took {time.monotonic() - begun:.1f} s")
    assert "nothing to start" in again.stdout
    assert read_files(toy.root) == before
    assert toy.launch("--wait", "seed=0,1,2").returncode == 0
    assert sorted(toy.executions().values()) == [1] * 9
    assert toy.launch("--wait", "seed=0,1,2", "cluster.grace_s=5", "resources.memory=2GB").returncode == 0
    assert sorted(toy.executions().values()) == [1] * 9


@pytest.mark.slow
def test_another_study_uses_what_is_done(toy: Toy) -> None:
    assert toy.launch("--wait").returncode == 0
    assert (
        toy.plan("study=other", "seed=0,1,2")["stages"]["train"] | {"jobs": 9, "new": 3, "done": 6}
        == (toy.plan("study=other", "seed=0,1,2")["stages"]["train"])
    )
    assert toy.launch("--wait", "study=other", "seed=0,1,2").returncode == 0
    assert sorted(toy.executions().values()) == [1] * 9
    assert toy.states("other") == {"done": 9}
    assert len(_rows(toy, "other")) == 9 * 40


@pytest.mark.slow
def test_superseded_jobs_that_wait_or_run_are_dropped(toy: Toy) -> None:
    toy.run("launch", "--detach", "--config-dir", "conf", "experiment=toy", "sleep_s=600")
    assert toy.launch("--wait", "--replace").returncode == 0
    assert toy.states() == {"done": 6}


@pytest.mark.slow
def test_data_that_moves_is_the_same_and_data_that_changes_is_stale(toy: Toy) -> None:
    (toy.data / "table.csv").write_text("a,b\n1,2\n")
    assert toy.launch("--wait").returncode == 0
    shutil.copytree(toy.data, toy.folder / "moved")
    moved = toy.plan("paths.data=moved")["stages"]["train"]
    assert (moved["done"], moved["stale"]) == (6, 0)
    (toy.data / "table.csv").write_text("a,b\n1,3\n")
    changed = toy.plan()["stages"]["train"]
    assert (changed["done"], changed["stale"]) == (6, 6)
    assert "nothing to start" in toy.launch("--wait").stdout
    assert toy.launch("--wait", "--rerun", "stale").returncode == 0
    assert toy.plan()["stages"]["train"]["stale"] == 0
    assert set(toy.executions().values()) == {2}


@pytest.mark.slow
def test_resuming_with_more_memory_keeps_the_ids(toy: Toy) -> None:
    (toy.data / "broken-1").touch()
    toy.launch("--wait")
    refused = toy.run("resume", "toy", "samples=5")
    assert refused.returncode == 2
    assert "samples" in refused.stderr
    (toy.data / "broken-1").unlink()
    toy.output_of("resume", "toy", "--wait", "--kind", "data", "resources.memory=2GB")
    assert toy.states() == {"done": 6}
    assert len(toy.executions()) == 6


@pytest.mark.slow
def test_a_moved_root_still_works(toy: Toy) -> None:
    assert toy.launch("--wait").returncode == 0
    elsewhere = toy.folder / "elsewhere"
    toy.root.rename(elsewhere)
    status = toy.json_of("status", "toy", "--root", str(elsewhere))
    assert status["states"]["done"] == 6
    assert len(toy.output_of("results", "toy", "runs", "--format", "csv", "--root", str(elsewhere)).splitlines()) == 7


@pytest.mark.slow
def test_jobs_added_under_another_setting_are_not_averaged_with_the_others(toy: Toy) -> None:
    assert toy.launch("--wait").returncode == 0
    assert toy.launch("--wait", "seed=2", "signal=0.5").returncode == 0
    rows = list(csv.DictReader(io.StringIO(toy.output_of("results", "toy", "metrics", "--format", "csv"))))
    assert {row["signal"] for row in rows if row["seed"] == "2"} == {"0.5"}
    assert {row["signal"] for row in rows if row["seed"] != "2"} == {"2.0"}
    means = toy.output_of("results", "toy", "metrics")
    assert "signal" in means


@pytest.mark.slow
def test_what_is_cancelled_before_it_could_start_stays_cancelled(toy: Toy) -> None:
    slow = "PRELOAD = ('toy.heavy',)\nfrom toy.work import run\n"
    (toy.folder / "toy" / "slow.py").write_text(slow)
    (toy.folder / "toy" / "heavy.py").write_text("import time\ntime.sleep(3)\n")
    toy.run("launch", "--detach", "--config-dir", "conf", "experiment=toy", "run=toy.slow.run", "sleep_s=600")
    time.sleep(2.0)
    toy.output_of("cancel", "toy")
    toy.wait_for_workers()
    assert toy.states() == {"cancelled": 6}
    toy.output_of("resume", "toy", "--where", "seed=0", "--limit", "1", "--detach")
    toy.output_of("cancel", "toy")
    toy.wait_for_workers()
    assert toy.states() == {"cancelled": 6}


@pytest.mark.slow
def test_a_link_to_a_study_is_another_name_for_it(toy: Toy) -> None:
    assert toy.launch("--wait", "--limit", "1", experiment="light").returncode == 0
    (toy.root / "latest").symlink_to("light")
    toy.output_of("resume", "light", "--limit", "2", "--wait")
    assert toy.states("latest") == {"done": 3, "waiting": 3}
    toy.output_of("resume", "latest", "--wait")
    assert toy.states("light") == {"done": 6}
    assert set(toy.executions().values()) == {1}


@pytest.mark.slow
def test_what_another_study_has_done_can_be_done_again_here(toy: Toy) -> None:
    assert toy.launch("--wait", "study=one", experiment="light").returncode == 0
    assert toy.launch("--wait", "study=two", "--rerun", "seed=0", experiment="light").returncode == 0
    assert sorted(toy.executions().values()) == [1, 1, 1, 2, 2, 2]
    assert toy.states("one") == toy.states("two") == {"done": 6}


EDITED = """
import time
from pathlib import Path

NUMBER = 1


def run(work):
    Path("begun").touch()
    time.sleep(1.5)
    (work.staging / "number.txt").write_text(str(NUMBER))
"""


@pytest.mark.slow
def test_code_that_is_edited_while_it_runs_is_not_the_code_of_the_result(toy: Toy) -> None:
    file = toy.folder / "toy" / "edited.py"
    file.write_text(EDITED)
    launcher = toy.start("launch", "--config-dir", "conf", "experiment=light", "run=toy.edited.run", "--limit", "1")
    wait_until(lambda: (toy.folder / "begun").exists())
    file.write_text(EDITED.replace("NUMBER = 1", "NUMBER = 2"))
    launcher.communicate(timeout=240)
    stage = toy.plan("run=toy.edited.run", experiment="light")["stages"]["train"]
    assert (stage["done"], stage["stale"]) == (1, 1)


@pytest.mark.slow
def test_a_plan_that_came_in_between_is_not_replaced_unasked(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(*args: Any, **options: Any) -> Plan:
        plan = make_plan(*args, **options)
        toy.run("launch", "--wait", "--config-dir", "conf", "experiment=light", "signal=3")
        return plan

    monkeypatch.setattr("seedfold.orchestrator.dispatch.launch.make_plan", overtaken)
    late = toy.launch(experiment="light")
    assert (late.returncode, "signal 3 → 2.0" in late.stderr) == (2, True), late.stderr
    assert toy.states("light") == {"done": 6}
