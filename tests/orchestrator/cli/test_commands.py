"""The command end to end, as installed, on a small project of a user's own."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import select
import signal
import subprocess
from pathlib import Path

import pytest
from toyproject import SEEDFOLD, WAIT_S, Toy, read_files, wait_for_output, wait_until

from seedfold.orchestrator.dispatch.wait import stop_workers

STATES = {"waiting", "submitted", "running", "paused", "done", "failed", "blocked", "cancelled", "lost"}


def test_a_study_from_plan_to_tables(toy: Toy) -> None:
    planned = toy.plan()
    assert set(planned) == {"study", "jobs", "stages", "arrays", "gpu_hours", "held", "job_hours", "unused_requests"}
    assert (planned["study"], planned["jobs"]) == ("toy", 6)
    assert planned["stages"]["train"]["new"] == planned["stages"]["train"]["jobs"] == 6
    assert set(planned["stages"]["train"]) == {"jobs", "new", "stale", *STATES}
    assert [array["jobs"] for array in planned["arrays"]] == [6]
    assert not toy.root.exists(), "plan wrote something"

    assert toy.run("launch", "-cd", "conf", "experiment=toy").returncode == 0
    status = toy.json_of("status", "toy")
    assert set(status) == {
        *("study", "jobs", "states", "stages", "failures", "stale", "held", "throttle", "removed", "eta_s", "running")
    }
    assert set(status["states"]) == set(status["stages"]["train"]) == STATES
    assert status["states"]["done"] == status["jobs"] == 6
    assert status["failures"] == []
    assert set(toy.executions().values()) == {1}

    rows = list(csv.DictReader(toy.output_of("results", "toy", "predictions", "--format", "csv").splitlines()))
    assert {"job", "split", "sample_id", "target", "head", "logit_0", "seed", "fold"} <= set(rows[0])
    assert len(rows) == 6 * (10 + 30)
    assert "±" in toy.output_of("results", "toy")


def test_a_second_launch_starts_nothing_and_says_so(finished: Toy) -> None:
    before = read_files(finished.root)
    again = finished.launch()
    assert again.returncode == 0
    assert "nothing to start" in again.stdout
    assert read_files(finished.root) == before
    more = finished.plan("seed=0,1,2")["stages"]["train"]
    assert (more["new"], more["done"]) == (3, 6)


def test_what_does_not_count_runs_nothing_again(finished: Toy) -> None:
    again = finished.launch("cluster.slots=1", "resources.memory=2GB", "paths.data=/somewhere/else")
    assert "nothing to start" in again.stdout


def test_failures_are_grouped_with_reason_job_and_log(toy: Toy) -> None:
    ended = toy.launch("fail_seeds=[1]", experiment="light")
    assert ended.returncode == 1
    assert "seedfold resume light" in ended.stdout
    status = toy.json_of("status", "light")
    assert status["states"]["failed"] == 3
    failure = status["failures"][0]
    assert set(failure) == {"id", "axes", "kind", "reason", "attempts", "log"}
    assert (failure["kind"], failure["reason"]) == ("error", "ValueError: seed 1 is an unlucky one")
    assert "unlucky" in Path(failure["log"]).read_text()
    text = toy.output_of("status", "light")
    assert text.count("3 failed, error: ValueError: seed 1 is an unlucky one") == 1
    assert failure["log"] in text
    by_seed = [line.split() for line in toy.output_of("status", "light", "--by", "seed").splitlines()]
    assert by_seed[-3:] == [["seed", "done", "failed"], ["0", "3"], ["1", "3"]]


def test_resume_tries_failed_jobs_again(toy: Toy) -> None:
    (toy.data / "broken-1").touch()
    assert toy.launch(experiment="light").returncode == 1
    assert toy.json_of("status", "light")["failures"][0]["kind"] == "data"
    assert "3 failed jobs are not tried again" in toy.launch(experiment="light").stdout
    (toy.data / "broken-1").unlink()
    assert toy.run_in_process("resume", "light", "--kind", "oom_host").stdout.startswith(
        "light: 6 jobs, nothing to start"
    )
    assert toy.run_in_process("resume", "light", "--kind", "data").returncode == 0
    assert toy.states("light") == {"done": 6}


@pytest.mark.slow
def test_selections_start_only_what_they_name(toy: Toy) -> None:
    toy.launch("--where", "fold=1", "--limit", "1", experiment="light")
    assert toy.states("light") == {"waiting": 5, "done": 1}
    toy.wait_for_workers()
    assert "5 jobs wait and no worker is running; to start them: seedfold resume light" in toy.output_of(
        "status", "light"
    )
    assert toy.json_of("status", "light", "--where", "fold=1")["jobs"] == 2
    toy.output_of("resume", "light", "--where", "seed=1 fold!=2")
    assert toy.states("light") == {"waiting": 3, "done": 3}


def _jobs_in(toy: Toy, table: str) -> set[str]:
    rows = csv.DictReader(toy.output_of("results", "toy", table, "--format", "csv").splitlines())
    return {row["job"] for row in rows}


@pytest.mark.slow
def test_replacing_needs_to_be_asked_for_and_leaves_no_wrong_row(done: Toy) -> None:
    toy = done
    before = read_files(toy.root)
    refused = toy.launch("signal=0.5")
    assert refused.returncode == 2
    assert "signal 2.0 → 0.5" in refused.stderr
    assert "--replace" in refused.stderr
    assert read_files(toy.root) == before
    said = toy.output_of("plan", "-cd", "conf", "experiment=toy", "signal=0.5").splitlines()
    assert said[:2] == [
        "toy: 6 jobs; launch will refuse this without --replace or another study=NAME",
        "6 jobs would be replaced, because of these keys:",
    ]
    assert said[2].startswith("  signal 2.0 → 0.5")
    assert [line for line in said if "would start" in line] == ["a launch with --replace would start 6: 6 new"]
    tables = ("runs", "metrics", "predictions", "oof")
    wrong = [_jobs_in(toy, table) for table in tables]
    assert toy.launch("signal=0.5", "--replace").returncode == 0
    right = [_jobs_in(toy, table) for table in tables]
    assert [len(jobs) for jobs in right] == [6, 6, 6, 6]
    assert not any(before & after for before, after in zip(wrong, right, strict=True))
    assert "6 earlier jobs were replaced" in toy.output_of("status", "toy")
    assert len(toy.output_of("status", "toy", "--superseded").splitlines()) == 6


@pytest.mark.slow
def test_a_launch_that_has_to_wait_says_for_what(toy: Toy) -> None:
    launch = ("launch", "--config-dir", "conf", "experiment=light", "seed=0", "fold=0")
    first = toy.start(*launch, "study=one", "sleep_s=600", "resources.cpus=1000")
    wait_until(lambda: toy.states("one") == {"running": 1})
    second = toy.start(*launch, "study=two")
    wait_until(lambda: toy.states("two") and "waits for a slot: " in toy.output_of("status", "two"))
    beside = toy.launch("seed=1", "fold=0", "study=three", "--now", experiment="light")
    assert (beside.returncode, toy.states("three"), toy.states("one")) == (0, {"done": 1}, {"running": 1})
    assert "three: does not wait for slots that other studies hold" in beside.stdout
    toy.output_of("cancel", "one")
    said, _ = second.communicate(timeout=WAIT_S)
    first.communicate(timeout=WAIT_S)
    assert second.returncode == 0
    assert re.search(
        r"^two: waits for a slot: (all \d+ are|the only one is) taken by study one; .* two --now;", said, re.MULTILINE
    )
    assert said.count("waits for") == 1
    assert "waits for" not in toy.output_of("status", "two")


WITHOUT_WORKER = """
import sys

if "seedfold.orchestrator.seat:work" in sys.orig_argv:
    sys.modules["seedfold.orchestrator.worker.worker"] = None
"""


@pytest.mark.slow
def test_a_worker_that_dies_at_its_start_is_named_with_its_log(toy: Toy) -> None:
    (toy.folder / "site").mkdir()
    (toy.folder / "site" / "sitecustomize.py").write_text(WITHOUT_WORKER)
    search = os.pathsep.join([str(toy.folder / "site"), os.environ.get("PYTHONPATH", "")])
    launch = ("launch", "--config-dir", "conf", "experiment=light")
    ended = toy.run(*launch, PYTHONPATH=search)
    (token,) = [folder.name for folder in toy.study("light").submissions_folder.iterdir()]
    (dead,) = toy.json_of("status", "light")["dead_workers"]
    assert (dead["submission"], dead["jobs"]) == (token, 6)
    assert "seedfold.orchestrator.worker.worker" in Path(dead["log"]).read_text()
    line = f"the worker of submission {token} died; its log: {dead['log']}; to go on: seedfold resume light"
    assert line in ended.stdout
    assert line in toy.output_of("status", "light")
    toy.output_of("resume", "light", "--where", "fold=0,1")
    (dead,) = toy.json_of("status", "light")["dead_workers"]
    assert (dead["submission"], dead["jobs"]) == (token, 2)
    toy.output_of("resume", "light")
    assert "dead_workers" not in toy.json_of("status", "light")
    assert "died" not in toy.output_of("status", "light")


@pytest.mark.slow
def test_a_worker_that_is_killed_is_named_until_another_takes_its_jobs(toy: Toy) -> None:
    launcher = toy.start("launch", "--config-dir", "conf", "experiment=light", "sleep_s=600")
    wait_until(lambda: toy.states("light").get("running"))
    assert "dead_workers" not in toy.json_of("status", "light")
    toy.kill_workers()
    said, _ = launcher.communicate(timeout=WAIT_S)
    assert "died; its log: " in said
    assert [dead["jobs"] for dead in toy.json_of("status", "light")["dead_workers"]] == [6]
    toy.output_of("resume", "light", "--detach")
    assert "dead_workers" not in toy.json_of("status", "light")
    wait_until(lambda: toy.states("light").get("running"))
    stop_workers(toy.study("light"))
    wait_until(lambda: set(toy.states("light")) == {"waiting"})
    assert "dead_workers" not in toy.json_of("status", "light"), "the newest worker ended in order"


@pytest.mark.slow
def test_one_job_is_not_called_jobs(toy: Toy) -> None:
    one = ("--config-dir", "conf", "experiment=light", "seed=1", "fold=0", "fail_seeds=[1]")
    said = [toy.output_of("plan", *one)]
    ended = toy.run_in_process("launch", *one)
    said += [ended.stdout, toy.run_in_process("launch", *one).stdout]
    said += [toy.output_of("status", "light"), toy.output_of("plan", *one), toy.output_of("cancel", "light")]
    assert ended.returncode == 1
    text = "".join(said)
    assert not re.search(r"\b1 (\w+ )?(jobs|GPUs|rows|results)\b", text), text
    for part in ("light: 1 job\n", "train: 1 job, each", "1 job is not done", "1 failed job is not tried again"):
        assert part in text


@pytest.mark.slow
def test_out_of_fold_tables_know_of_folds_that_were_never_planned(toy: Toy) -> None:
    assert toy.launch("+task={folds: {k: 5}}", "seed=0").returncode == 0
    refused = toy.run_in_process("results", "toy", "oof")
    assert refused.returncode == 2
    assert "out-of-fold: seed=0: folds 3, 4 of 5 were never planned" in refused.stderr
    assert "accuracy" in toy.output_of("results", "toy", "oof", "--partial")
    assert "folds 3, 4 of 5 were never planned" in Path(toy.output_of("report", "toy").strip()).read_text()


def test_options_and_overrides_mix_in_any_order(toy: Toy) -> None:
    mixed = ["seed=0", "--json", "~deaf_seeds", "--config-dir", "conf", "+extra=1", "experiment=light", "fold=0,1"]
    assert toy.run_in_process("plan", *mixed).returncode == 0
    assert json.loads(toy.output_of("plan", *mixed))["jobs"] == 2


def test_descriptions_as_json_lines(toy: Toy, tmp_path: Path) -> None:
    file = tmp_path / "jobs.jsonl"
    toy.output_of("plan", "-cd", "conf", "experiment=light", "--jobs", str(file))
    jobs = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(jobs) == 6
    assert {"id", "study", "stage", "axes", "config", "parents", "resources", "run"} <= set(jobs[0])
    piped = toy.output_of("plan", "-cd", "conf", "experiment=light", "--jobs", "-").splitlines()
    assert [json.loads(line) for line in piped] == jobs
    ran = toy.run("run", jobs[3]["id"][:8], "--jobs", str(file))
    assert "answer.txt" in ran.stdout


def test_the_root_may_be_named(toy: Toy, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    assert toy.launch("seed=0", "fold=0", "--root", str(other), experiment="light").returncode == 0
    assert (other / "light" / "plans").is_dir()
    assert not toy.root.exists()
    assert toy.json_of("status", "light", "--root", str(other))["states"]["done"] == 1


@pytest.mark.slow
def test_a_second_study_with_one_more_seed_runs_that_seed(done: Toy) -> None:
    toy = done
    planned = toy.plan("study=second", "seed=0,1,2")["stages"]["train"]
    assert (planned["new"], planned["done"]) == (3, 6)
    before = toy.executions()
    assert toy.launch("study=second", "seed=0,1,2").returncode == 0
    assert len(toy.executions()) == 9
    assert set((toy.executions()).values()) == {1} == set(before.values())
    rows = list(csv.DictReader(toy.output_of("results", "second", "runs", "--format", "csv").splitlines()))
    assert len(rows) == 9


def test_stages_follow_each_other(toy: Toy) -> None:
    assert toy.launch(experiment="chain").returncode == 0
    assert toy.json_of("status", "chain")["stages"]["sum"]["done"] == 2
    (toy.data / "broken-0").touch()
    toy.launch("signal=1.0", "--replace", experiment="chain")
    status = toy.json_of("status", "chain")
    assert status["stages"]["fit"]["failed"] == 2
    assert status["stages"]["sum"]["blocked"] == 1


@pytest.mark.slow
def test_interrupting_a_launch_keeps_what_the_jobs_have_done(toy: Toy) -> None:
    launch = toy.start("launch", "-cd", "conf", "experiment=light", "sleep_s=600", "seed=0", "fold=0")
    wait_for_output(launch, "submitted")
    wait_until(lambda: [file for file in toy.study("light").path.glob("jobs/*/*/slept.txt") if file.read_text()])
    launch.send_signal(signal.SIGINT)
    out, err = launch.communicate(timeout=WAIT_S)
    assert launch.returncode == 130
    assert "stopping: running jobs write a checkpoint" in err
    assert "seedfold resume light" in out
    assert toy.states("light") == {"waiting": 1}
    slept = next(toy.study("light").path.glob("jobs/*/*/slept.txt"))
    assert float(slept.read_text()) > 0


def test_cancelled_jobs_come_back_with_resume(toy: Toy) -> None:
    assert toy.launch("--detach", "sleep_s=600", "seed=0", experiment="light").returncode == 0
    wait_until(lambda: "running" in toy.states("light"))
    assert "cancelled 3 jobs" in toy.output_of("cancel", "light")
    wait_until(lambda: toy.states("light") == {"cancelled": 3})
    assert toy.json_of("cancel", "light") == {"study": "light", "cancelled": [], "running": [], "of_others": {}}
    toy.output_of("resume", "light", "--detach", "--limit", "1")
    wait_until(lambda: toy.states("light").get("running") == 1)


@pytest.mark.slow
def test_logs_follow_an_attempt_to_its_end(toy: Toy) -> None:
    toy.launch("--detach", "sleep_s=1.0", "seed=0", "fold=0", experiment="light")
    followed = toy.run_in_process("logs", "seed=0", "fold=0", "-f")
    assert followed.stdout == "seed 0, attempt 1\n"
    assert toy.states("light") == {"done": 1}
    assert toy.output_of("logs", "train", "seed=0", "--attempt", "1") == followed.stdout
    missing = toy.run_in_process("logs", "seed=0", "--attempt", "2")
    assert missing.returncode == 2
    assert "its latest attempt is 1" in missing.stderr


@pytest.mark.slow
def test_watch_ends_when_all_is_done(toy: Toy) -> None:
    toy.launch("--detach", "sleep_s=0.5", "seed=0", "fold=0", experiment="light")
    shown = toy.output_of("watch", "light", "--every", "0.2").splitlines()
    assert shown[-1] == "light: 1 job, 1 done"


def test_show_and_explain(done: Toy) -> None:
    toy = done
    one = toy.json_of("show", "seed=0", "fold=0")
    assert (one["state"], one["axes"], one["config"]["signal"]) == ("done", {"seed": 0, "fold": 0}, 2.0)
    assert [attempt["state"] for attempt in one["attempts"]] == ["done"]
    assert set(one["result"]["files"]) == {"predictions.test.parquet", "predictions.val.parquet"}
    text = toy.output_of("show", one["id"][:6])
    assert "signal: 2.0" in text
    assert "accuracy" in text
    told = toy.json_of("explain", one["id"][:8], "train seed=1 fold=0")
    assert told["same"] is False
    assert [(each["key"], each["left"], each["right"]) for each in told["differences"]] == [("seed", 0, 1)]
    assert "one job" in toy.output_of("explain", one["id"][:8], "seed=0 fold=0")


@pytest.mark.slow
def test_run_touches_neither_ledger_nor_store(toy: Toy) -> None:
    toy.launch("seed=0", "fold=0", experiment="light")
    toy.wait_for_workers()
    before = read_files(toy.root)
    ran = toy.run("run", "seed=0", "--steps", "5").stdout
    folder = Path(next(line for line in ran.splitlines() if line.startswith("scratch folder")).split(" ", 2)[2])
    assert (folder / "result" / "answer.txt").exists()
    assert read_files(toy.root) == before
    (toy.data / "broken-0").touch()
    failed = toy.run("run", "seed=0")
    assert failed.returncode == 1
    assert "DataFailure" in failed.stderr
    assert read_files(toy.root) == before


class Terminal:
    """The command on a pseudo-terminal, as a person sees it and types to it."""

    def __init__(self, toy: Toy, *args: str) -> None:
        self._own, other = pty.openpty()
        streams = {"stdin": other, "stdout": other, "stderr": other}
        self.process = subprocess.Popen([SEEDFOLD, *args], cwd=toy.folder, env=toy.environment, **streams)
        os.close(other)

    def until(self, text: str) -> str:
        """Read until ``text`` comes; return all of what came."""
        seen = b""
        while not seen.endswith(text.encode()):
            assert select.select([self._own], [], [], 60)[0], seen.decode()
            seen += os.read(self._own, 1)
        return seen.decode().replace("\r\n", "\n")

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._own, f"{line}\n".encode())


@pytest.mark.slow
def test_the_debugger_opens_where_a_job_raises_and_leaves_no_trace(toy: Toy) -> None:
    toy.launch("seed=1", "fold=0", "fail_seeds=[1]", experiment="light")
    toy.wait_for_workers()
    before = read_files(toy.root)
    terminal = Terminal(toy, "run", "seed=1", "--pdb")
    opened = terminal.until("(Pdb) ")
    assert "ValueError: seed 1 is an unlucky one" in opened
    assert "misbehave()\n-> raise ValueError(" in opened
    terminal.type("p seed + 41")
    assert "\n42\n" in terminal.until("(Pdb) ")
    terminal.type("up")
    assert "prepare()\n-> misbehave(config, data)" in terminal.until("(Pdb) ")
    terminal.type("q")
    assert terminal.process.wait(60) == 1
    assert read_files(toy.root) == before
