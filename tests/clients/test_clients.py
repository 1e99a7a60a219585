"""Programs as people write them, swept by Hydra and by Seedfold: each job sees the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml
from clients.both_ways import BothWays, copy_program, sweep_both_ways
from hydra_program import SEEDFOLD_PLUGINS

pytestmark = pytest.mark.slow


def check(jobs: BothWays, count: int) -> None:
    """That there are so many jobs, that each saw the same both ways, and that what it returned is kept."""
    assert len(jobs.theirs) == count
    pairs = zip(jobs.theirs, jobs.ours, strict=True)
    assert [(key, one[key], other[key]) for one, other in pairs for key in one if one[key] != other[key]] == []
    assert sorted(map(str, jobs.returned)) == sorted(str(job["returned"]) for job in jobs.theirs)


def test_groups_packages_experiments_and_several_options_of_a_group(tmp_path: Path) -> None:
    words = (
        "reader=csv,table",
        "model=linear,tree",
        "site=[north],[south,east]",
        "++note='a, b'",
        "experiment=plain,wide",
    )
    jobs = sweep_both_ways("files", tmp_path, *words)
    check(jobs, 16)
    assert len({job["folder"] for job in jobs.ours}) == 16
    special = [job for job in jobs.ours if "'special'" in job["config"]["keys"]]
    assert {job["choices"]["reader"] for job in special} == {"table"}
    assert {job["variable"] for job in jobs.ours} == {str(number) for number in range(16)}
    # A value that the function sets moves what refers to it, and is not in the files that Hydra wrote before.
    assert all("title: ${model.name} on" in job["config.yaml"] for job in jobs.ours)


def test_structured_configurations_keep_their_types(tmp_path: Path) -> None:
    words = ("engine=petrol,electric", "colour=RED,BLUE", "wheels.0.size=20", "trip=[3,4.5]")
    jobs = sweep_both_ways("structured", tmp_path, *words)
    check(jobs, 4)
    assert [job["returned"] for job in jobs.ours] == [140, 140, 200, 200]


def test_configurations_of_hydra_zen(tmp_path: Path) -> None:
    pytest.importorskip("hydra_zen")
    check(sweep_both_ways("zen", tmp_path, "model=weak,strong", "model.degree=1,2", "hydra.sweep.dir=out"), 4)


def test_a_project_of_the_usual_layout_with_experiments_loggers_and_a_search(tmp_path: Path) -> None:
    """A package in `src`, the root found by a file, `_global_` experiments, loggers, and Optuna's search in a file."""
    pytest.importorskip("rootutils")
    program = copy_program("template", tmp_path / "project", "src/train.py", trains=True)
    loggers = "many" if importlib.util.find_spec("tensorboard") else "csv"
    words = ("experiment=small", f"logger={loggers}", "+optimized_metric=val/loss", "task_name=mine")
    said = program.run("-m", *SEEDFOLD_PLUGINS, *words, "model.optimizer.lr=0.05,0.1")
    assert "train: 2 done" in said
    outputs = sorted(program.folder.glob("logs/mine/multiruns/*/[0-9]"))
    assert [output.name for output in outputs] == ["0", "1"]
    for output in outputs:
        assert "val/loss" in (output / "csv" / "version_0" / "metrics.csv").read_text()
        assert (output / "ended.txt").read_text() == str(program.folder)
        assert len(list(output.glob("checkpoints/*.ckpt"))) == 1
        assert any(output.glob("tensorboard/version_0/events.*")) == (loggers == "many")
    if importlib.util.find_spec("optuna"):
        program.run("-m", "hparams_search=line_optuna", "hydra/launcher=seedfold_local", "experiment=small")
        (results,) = program.folder.glob("logs/train/multiruns/*/optimization_results.yaml")
        assert 0.001 <= yaml.safe_load(results.read_text())["best_params"]["model.optimizer.lr"] <= 0.1
