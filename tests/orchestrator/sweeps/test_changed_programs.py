"""A program that was edited after its jobs were done: what is told, done again, kept apart or accepted."""

from __future__ import annotations

import csv

import pytest
from hydra_program import HydraProgram


def edit(stranger: HydraProgram, old: str, new: str, file: str = "train.py") -> None:
    path = stranger.folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def codes(stranger: HydraProgram) -> dict[str, str | None]:
    rows = csv.DictReader(stranger.toy.output_of("results", "train", "runs", "--format", "csv").splitlines())
    return {row["seed"]: row.get("code") for row in rows}


@pytest.mark.slow
def test_a_bug_fix_between_two_seeds_gives_two_rows(stranger: HydraProgram) -> None:
    stranger.sweep("seed=1,2")
    edit(stranger, '    """Train."""\n', '    """Learn."""\n    # as always\n')
    assert "other code" not in stranger.sweep("seed=1,2")
    edit(stranger, "cfg.lr * cfg.model.width", "2 * cfg.lr * cfg.model.width")
    said = stranger.sweep("seed=1,2,3")
    assert "train: 2 of 2 done jobs were computed by other code (train.py): hydra.launcher.rerun=stale runs" in said
    assert "hydra.launcher.accept_code=true keeps them" in said
    assert codes(stranger) == {"1": "old", "2": "old", "3": "now"}
    means = stranger.toy.output_of("results", "train")
    assert [line.split()[0] for line in means.splitlines()[1:3]] == ["old", "now"]
    assert "results of 2 versions of the code (train.py) are kept apart" in means

    assert "started 1" in stranger.sweep("seed=1,2,3", "hydra.launcher.rerun='seed=1'")
    assert codes(stranger) == {"1": "now", "2": "old", "3": "now"}
    assert "rerun: " not in stranger.toy.output_of("rerun", "train", "--stale", "--wait", "resources.memory=2GB")
    assert stranger.executions() == ["small-0.1-1", "small-0.1-1", "small-0.1-2", "small-0.1-2", "small-0.1-3"]
    assert set(codes(stranger).values()) == {None}
    # What is done again finds none of what it left before.
    assert len({one["where"] for one in stranger.returned_values()}) == 1
    assert len(list(stranger.folder.glob("multirun/*/*/*/small.ckpt"))) == 5


@pytest.mark.slow
def test_what_is_accepted_is_kept_and_modules_count_as_well(stranger: HydraProgram) -> None:
    stranger.sweep("seed=1")
    edit(stranger, "'mine'", "'my' + 'own'", "results/__init__.py")
    said = stranger.sweep("seed=1,2", "hydra.launcher.accept_code=true")
    assert "other code" not in said
    assert codes(stranger) == {"1": None, "2": None}
    edit(stranger, "'own'", "'self'", "results/__init__.py")
    assert "computed by other code (results/__init__.py)" in stranger.toy.output_of("status", "train")
    assert "computed by other code" not in stranger.sweep("seed=1,2", "hydra.launcher.rerun=stale")
    refused = stranger.toy.run_in_process("rerun", "train")
    assert (refused.returncode, "select the jobs with --stale" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_a_new_key_at_its_default_replaces_nothing(stranger: HydraProgram) -> None:
    stranger.sweep("seed=1,2")
    edit(stranger, "seed: 0\n", "seed: 0\nnesterov: false\n", "conf/config.yaml")
    refused = stranger.sweep("seed=1,2", code=2)
    assert "nesterov" in refused
    assert "hydra.launcher.neutral" in refused
    neutral = "hydra.launcher.neutral={nesterov: false}"
    assert "nothing to start" in stranger.sweep("seed=1,2", neutral)
    assert "started 1" in stranger.sweep("seed=1,2,3", neutral)
    assert "nesterov" not in stranger.toy.output_of("results", "train")
    edit(stranger, "lr: 0.1\n", "rate: 0.1\n", "conf/config.yaml")
    edit(stranger, "cfg.lr", "cfg.rate")
    assert "nothing to start" in stranger.sweep("seed=1,2,3", neutral, "hydra.launcher.renames={lr: rate}")
    assert "hydra.launcher.neutral: 'x' is not a mapping" in stranger.sweep(
        "seed=1", "hydra.launcher.neutral=x", code=2
    )


@pytest.mark.slow
def test_resume_takes_resources_and_settings_of_the_cluster(stranger: HydraProgram) -> None:
    stranger.sweep("seed=1,2", "bad_seeds=[1,2]", code=1)
    resumed = stranger.toy.run_in_process("resume", "train", "resources.memory=2GB", "hydra.launcher.slots=1", "--wait")
    assert "started 2" in resumed.stdout, resumed.stderr
    assert stranger.toy.json_of("show", "seed=1")["resources"]["memory_bytes"] == 2 * 1024**3
    refused = stranger.toy.run_in_process("resume", "train", "lr=3")
    assert (refused.returncode, "lr: is part of the job's id" in refused.stderr) == (2, True)
