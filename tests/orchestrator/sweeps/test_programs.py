"""A program that is not ours swept, killed, resumed, detached, and looked at with our command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra_program import HydraProgram
from toyproject import read_files, wait_until


@pytest.mark.slow
def test_sweep_gives_each_job_what_hydra_would(stranger: HydraProgram) -> None:
    said = stranger.sweep("model=small,large", "seed=1", "hydra.job.chdir=true", "hydra.sweep.dir=out")
    assert "train: 2 done" in said
    assert stranger.executions() == ["large-0.1-1", "small-0.1-1"]
    outputs = [stranger.folder / "out" / number for number in "01"]
    assert [(outputs[0] / "small.ckpt").read_text(), (outputs[1] / "large.ckpt").read_text()] == [
        "small mine",
        "large mine",
    ]
    assert sorted(one["where"] for one in stranger.returned_values()) == [str(output) for output in outputs]
    assert f"model=large,seed=1 in {outputs[1]}" in (outputs[1] / "train.log").read_text()
    assert (outputs[1] / ".hydra" / "overrides.yaml").read_text().split() == ["-", "model=large", "-", "seed=1"]

    # Again, with one point more: the new one alone is done, and takes nobody's folder.
    said = stranger.sweep("model=large,small", "seed=1,2", "hydra.job.chdir=true", "hydra.sweep.dir=out")
    assert "started 2" in said
    assert len(stranger.executions()) == 4
    assert len({one["where"] for one in stranger.returned_values()}) == 4

    metrics = stranger.toy.output_of("results", "train", "runs", "--format", "csv")
    assert "return.loss" in metrics.splitlines()[0]
    assert stranger.toy.states("train") == {"done": 4}


@pytest.mark.slow
def test_a_sweep_begins_with_a_pilot(stranger: HydraProgram) -> None:
    said = stranger.sweep("seed=1,2,3", "hydra.launcher.pilot=1")
    assert "2 jobs are held" in said
    assert stranger.executions() == ["small-0.1-1"]
    assert stranger.toy.states("train") == {"done": 1, "waiting": 2}
    assert "hydra.launcher.pilot_auto: add pilot=N" in stranger.sweep(
        "seed=1", "hydra.launcher.pilot_auto=true", code=2
    )


@pytest.mark.slow
def test_failed_jobs_are_told_and_tried_again_only_when_asked(stranger: HydraProgram) -> None:
    points = ("seed=1,2,3", "bad_seeds=[2]")
    said = stranger.sweep(*points, code=1)
    assert "2 done, 1 failed" in said
    assert "ValueError: seed 2 is an unlucky one" in said
    said = stranger.sweep(*points, code=1)
    assert "1 failed job is not tried again; to try again: seedfold resume train" in said
    assert len(stranger.executions()) == 3
    said = stranger.sweep(*points, "hydra.launcher.resume=true", code=1)
    assert "started 1" in said
    assert stranger.executions().count("small-0.1-2") == 2
    assert "seed 2 is an unlucky one" in stranger.toy.output_of("logs", "seed=2")
    before = read_files(stranger.folder / "multirun")
    again = stranger.toy.run("run", "seed=2")
    assert (again.returncode, "seed 2 is an unlucky one" in again.stderr) == (1, True)
    assert read_files(stranger.folder / "multirun") == before
    # The job's error with its traceback, through the contract of Hydra's own sweeper.
    said = stranger.run("-m", "hydra/launcher=seedfold_local", *points, code=1)
    assert "seedfold.orchestrator.sweeps.returns.FailedJobError" in said
    assert "in main\n" in said


@pytest.mark.slow
def test_a_program_that_returns_nan_is_not_silently_done(stranger: HydraProgram) -> None:
    file = stranger.folder / "train.py"
    one_number = 'return float("nan") if cfg.seed == 2 else 0.5'
    file.write_text(
        file.read_text().replace('return {"loss": cfg.lr * cfg.model.width, "where": str(Path.cwd())}', one_number)
    )
    said = stranger.sweep("seed=1,2", code=1)
    assert "1 failed, nan: NonFiniteFailure: the returned value is nan; failures.nan=keep keeps such results" in said
    shown = stranger.toy.output_of("results", "train")
    assert "0.5000 (1 of 2)" in shown
    assert "seed=2: failed (nan)" in shown
    stranger.sweep("seed=1,2", "hydra.launcher.resume=true", "hydra.launcher.failures.nan=keep")
    assert "1 done job has metrics that are nan: value; e.g. " in stranger.toy.output_of("status", "train")
    assert "seed=2: value is nan" in stranger.toy.output_of("results", "train")


@pytest.mark.slow
def test_killed_program_is_gone_on_with(stranger: HydraProgram) -> None:
    points = ("seed=range(0,6)", "wait_for=go", "hydra.launcher.slots=2")
    program = stranger.start("-m", "hydra/sweeper=seedfold", "hydra/launcher=seedfold_local", *points)
    stranger.wait_for_executions(2)
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate()
    (stranger.folder / "go").touch()
    assert "train: 6 done" in stranger.sweep(*points)
    assert len(stranger.executions()) == len(set(stranger.executions())) == 6


@pytest.mark.slow
def test_killed_worker_and_its_jobs_are_gone_on_with_in_their_folders(stranger: HydraProgram) -> None:
    points = ("seed=range(0,3)", "wait_for=go", "hydra.launcher.slots=2")
    stranger.sweep(*points, "hydra.launcher.wait=false")
    stranger.wait_for_executions(2)
    wait_until(lambda: len(list(stranger.folder.glob("multirun/*/*/*/train.log"))) == 2)
    begun = {log.parent for log in stranger.folder.glob("multirun/*/*/*/train.log")}
    stranger.toy.kill_workers()
    (stranger.folder / "go").touch()
    assert "train: 3 done" in stranger.sweep(*points)
    assert {Path(one["where"]) for one in stranger.returned_values()} == {stranger.folder}
    assert all((folder / "small.ckpt").exists() for folder in begun)


@pytest.mark.slow
def test_interrupted_program_stops_its_jobs(stranger: HydraProgram) -> None:
    program = stranger.start("-m", "hydra/sweeper=seedfold", "hydra/launcher=seedfold_local", "seed=1", "wait_for=go")
    stranger.wait_for_executions(1)
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=240)
    assert program.returncode == 130
    assert stranger.toy.states("train") == {"waiting": 1}


@pytest.mark.slow
def test_detached_sweep_is_looked_after_by_our_commands(stranger: HydraProgram) -> None:
    said = stranger.sweep("seed=1,2", "wait_for=go", "hydra.launcher.wait=false", "hydra.job.name=mine")
    assert "mine: 2 jobs, started 2" in said
    stranger.toy.output_of("cancel", "mine", "--where", "seed=1")
    (stranger.folder / "go").touch()
    assert "mine: 2 done" in stranger.toy.output_of("resume", "mine")
    assert len(stranger.returned_values("mine")) == 2


@pytest.mark.slow
def test_a_login_host_is_refused_also_where_the_site_names_it(stranger: HydraProgram) -> None:
    site = Path(stranger.toy.environment["HOME"]) / ".config" / "seedfold" / "site.yaml"
    site.parent.mkdir(parents=True)
    site.write_text("cluster: {name: slurm, login: me@hpc.example.org}")
    said = stranger.run("-m", "hydra/sweeper=seedfold", "hydra/launcher=seedfold_slurm", "seed=1,2", code=2)
    assert "hydra.launcher.login: me@hpc.example.org: a sweep is launched on the machine where its program runs" in said
    assert not (stranger.folder / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("hydra.launcher.wait=maybe", "hydra.launcher.wait: 'maybe' is neither true nor false"),
        (
            "hydra.launcher.failures.nan=kept",
            "hydra.launcher.failures.nan: kept: no such policy (did you mean 'keep'?)",
        ),
        ("+hydra.launcher.slotz=2", "hydra.launcher.slotz: unknown key (did you mean 'slots'?)"),
    ],
)
def test_mistakes_in_the_launchers_settings_start_nothing(stranger: HydraProgram, given: str, says: str) -> None:
    assert says in stranger.sweep("seed=1", given, code=2)
    assert stranger.executions() == []
    assert not (stranger.folder / "runs").exists()


@pytest.mark.slow
def test_our_sweeper_with_a_launcher_that_is_not_ours(stranger: HydraProgram) -> None:
    derive = "hydra.sweeper.derive={+classes: {_target_: seedfold.jobs.derive.given, value: two}}"
    stranger.run("-m", "hydra/sweeper=seedfold", "model=small,large", "seed=1", derive)
    assert stranger.executions() == ["large-0.1-1", "small-0.1-1"]
    composed = [file.read_text() for file in stranger.folder.glob("multirun/*/*/*/.hydra/config.yaml")]
    assert ["classes: two" in text for text in composed] == [True, True]
    assert not (stranger.folder / "runs").exists()


@pytest.mark.slow
def test_an_edited_configuration_does_not_replace_jobs_unasked(stranger: HydraProgram) -> None:
    stranger.sweep("lr=0.1,0.2")
    config = stranger.folder / "conf" / "model" / "small.yaml"
    config.write_text(config.read_text().replace("8", "9"))
    said = stranger.sweep("lr=0.1,0.2", code=2)
    assert "2 jobs of study train would be replaced (model.width 8 → 9: 2 done)" in said
    assert "hydra.launcher.replace=true" in said
    assert len(stranger.executions()) == 2
    assert "set hydra.job.name=NAME" in stranger.sweep("lr=1", "hydra.job.name=__main__", code=2)
    assert "volatile: 'lr' is not a list" in stranger.sweep("lr=1", "hydra.launcher.volatile=lr", code=2)


def test_every_hydra_program_pays_little_for_the_plugin() -> None:
    heavy = ("torch", "submitit", "pandas", "click", "seedfold.orchestrator", "seedfold.jobs")
    code = f"import sys, hydra_plugins.seedfold_sweeper; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded == "[]\n"
