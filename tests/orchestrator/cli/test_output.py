"""What the command writes, and where: files, pages, pipes and terminals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toyproject import SEEDFOLD, WAIT_S, Toy, wait_until


def test_report_is_written_and_its_path_printed(done: Toy) -> None:
    path = Path(done.output_of("report", "toy").strip())
    assert path == done.study().outputs_folder / "report.html"
    assert "<html" in path.read_text()


def test_results_as_files(finished: Toy, tmp_path: Path) -> None:
    import pandas as pd

    toy = finished
    for out, rows in {"runs.csv": 6, "oof.parquet": 60, "ensemble.json": 3 * 30 + 30}.items():
        read = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[out.split(".")[1]]
        toy.output_of("results", "toy", out.split(".")[0], "--out", str(tmp_path / out))
        assert len(read(tmp_path / out)) == rows
    assert len(json.loads(toy.output_of("results", "toy", "metrics", "--format", "json", "--split", "val"))) == 6 * 7
    assert (
        len(toy.output_of("results", "toy", "metrics", "--by", "seed", "--format", "csv").splitlines()) == 1 + 2 * 2 * 7
    )


def test_missing_folds_are_named(done: Toy) -> None:
    job = done.json_of("show", "seed=1", "fold=2")
    shutil.rmtree(job["result"]["folder"])
    assert done.states() == {"done": 5, "lost": 1}
    missing = done.run_in_process("results", "toy", "oof")
    assert missing.returncode == 2
    assert "fold 2 missing" in missing.stderr
    done.output_of("results", "toy", "oof", "--partial")


@pytest.mark.parametrize("columns", ["40", pytest.param("200", marks=pytest.mark.slow)])
def test_everything_fits_narrow_terminals(toy: Toy, columns: str) -> None:
    toy.launch("fail_seeds=[1]", experiment="chain")
    for arguments in (["status", "chain", "--by", "seed"], ["plan", "-cd", "conf", "experiment=chain"]):
        shown = toy.run_in_process(*arguments, COLUMNS=columns)
        assert shown.returncode == 0
        assert "\x1b" not in shown.stdout
    table = toy.run_in_process("results", "chain", "runs", COLUMNS=columns).stdout.splitlines()
    assert max(map(len, table[:3])) <= int(columns)


@pytest.mark.parametrize("command", ["status", "watch"])
def test_help_says_which_commands_that_look_submit_as_well(finished: Toy, command: str) -> None:
    help_text = " ".join(finished.output_of(command, "--help").split())
    assert "submits the jobs that are due, as `seedfold advance` does" in help_text


def test_help_and_status_import_little(finished: Toy) -> None:
    for arguments, heavy in {
        ("--help",): ("rich", "yaml", "seedfold.orchestrator.ledger.ledger"),
        ("status", "toy"): ("rich", "hydra", "omegaconf", "pandas", "numpy", "pyarrow", "torch", "submitit"),
    }.items():
        code = f"""import sys
sys.argv = ["seedfold", *{arguments!r}]
from seedfold.orchestrator.cli import main
try:
    main()
finally:
    loaded = {{name.split(".")[0] for name in sys.modules}} | set(sys.modules)
    print(sorted(loaded & set({heavy!r})), file=sys.stderr)
"""
        ended = subprocess.run(
            [sys.executable, "-c", code], env=finished.environment, capture_output=True, text=True, check=False
        )
        assert ended.stderr == "[]\n"


def test_nothing_to_start_imports_no_executor(finished: Toy) -> None:
    code = """import sys
sys.argv = ["seedfold", "launch", "-cd", "conf", "experiment=toy"]
from seedfold.orchestrator.cli import main
try:
    main()
finally:
    print(sorted({"torch", "submitit", "pandas"} & set(sys.modules)), file=sys.stderr)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=finished.folder,
        env=finished.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == "[]\n"


def test_a_reader_that_leaves_early_is_no_error(finished: Toy) -> None:
    piped = subprocess.run(
        ["bash", "-c", f"{SEEDFOLD} results toy predictions --format csv | head -1; echo ${{PIPESTATUS[0]}}"],
        cwd=finished.folder,
        env=finished.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert piped.stderr == ""
    assert piped.stdout.splitlines()[-1] == "0"


def test_an_unexpected_error_is_one_line_and_a_traceback_with_debug(toy: Toy) -> None:
    toy.launch("seed=0", "fold=0", experiment="light")
    plan = next(toy.study("light").plans_folder.glob("*.jsonl"))
    plan.rename(plan.with_suffix(".whole"))
    plan.write_text("not json\n")
    ended = toy.run_in_process("status", "light")
    assert ended.returncode in {1, 3}
    assert len(ended.stderr.splitlines()) == 1
    assert "Traceback" not in ended.stderr
    assert "Traceback" in toy.run_in_process("status", "light", "--debug").stderr
    plan.unlink()


@pytest.mark.slow
def test_colours_only_where_they_are_wanted(toy: Toy) -> None:
    toy.launch("fold=0", "fail_seeds=[1]", experiment="light")
    in_terminal = ["script", "-qec", f"{SEEDFOLD} status light", os.devnull]
    if shutil.which("script") is None:
        pytest.skip("no script(1) to make a terminal with")
    coloured = subprocess.run(in_terminal, env=toy.environment, capture_output=True, text=True, check=True)
    assert "\x1b[31m" in coloured.stdout
    plain = {**toy.environment, "NO_COLOR": "1"}
    assert "\x1b" not in subprocess.run(in_terminal, env=plain, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_terminal_shows_progress_while_jobs_run(toy: Toy) -> None:
    if shutil.which("script") is None:
        pytest.skip("no script(1) to make a terminal with")
    command = f"{SEEDFOLD} launch -cd conf experiment=light seed=0"
    toy.hold_jobs()
    launch = subprocess.Popen(
        ["script", "-qec", command, os.devnull],
        cwd=toy.folder,
        env={**toy.environment, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert launch.stdout is not None
    seen = b""
    while b"fold=0" not in seen:
        seen += os.read(launch.stdout.fileno(), 4096)
        assert launch.poll() is None, seen
    toy.release_jobs()
    shown = (seen + launch.communicate()[0]).decode()
    assert launch.returncode == 0
    assert "\x1b[?25l" in shown, "nothing was drawn live"
    assert "light: 3 done" in shown


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_wait(toy: Toy) -> None:
    launch = toy.start("launch", "-cd", "conf", "experiment=light", "sleep_s=600", "seed=0", "fold=0")
    wait_until(lambda: toy.states("light").get("running") == 1)
    toy.kill_workers()
    out, _ = launch.communicate(timeout=WAIT_S)
    assert launch.returncode == 1
    assert "1 job is not done; to continue: seedfold resume light" in out
