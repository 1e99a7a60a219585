"""Sweepers that ask for points, look at what the jobs returned, and ask for more."""

from __future__ import annotations

import pytest
import yaml
from hydra_program import HydraProgram

pytestmark = pytest.mark.slow

PROGRAM = """
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd


@hydra.main(version_base=None, config_path="conf", config_name="search")
def main(cfg):
    number, folder = HydraConfig.get().job.num, Path(get_original_cwd())
    with open(folder / "executions.txt", "a") as file:
        file.write(f"{number}:{cfg.x}:{cfg.get('y')}\\n")
    while cfg.first_waits and number == 0 and ":" not in (folder / "executions.txt").read_text().partition("\\n3:")[2]:
        time.sleep(0.05)
    if cfg.x > cfg.limit:
        raise ValueError(f"{cfg.x} is too much")
    return float((cfg.x - 1) ** 2)


if __name__ == "__main__":
    main()
"""

OWN_SWEEPER = """
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

BATCHES = [[["x=1"], ["x=1", "+y=2"], ["x=1"]], [["x=1"], ["x=3", "+y=2"]]]


class OwnSweeper(Sweeper):
    def __init__(self, **settings):
        pass

    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments):
        number = 0
        for batch in BATCHES:
            for one in self.launcher.launch([[*point, *arguments] for point in batch], number):
                print("sweeper got", number, one.overrides, one.return_value)
                number += 1
"""


@pytest.fixture
def searching(stranger: HydraProgram) -> HydraProgram:
    (stranger.folder / "train.py").write_text(PROGRAM)
    (stranger.folder / "conf" / "search.yaml").write_text("x: 0\nlimit: 99\nfirst_waits: false\n")
    return stranger


def test_points_asked_for_again_are_not_run_again_and_told(searching: HydraProgram) -> None:
    plugins = searching.folder / "hydra_plugins"
    plugins.mkdir()
    (plugins / "own_sweeper.py").write_text(OWN_SWEEPER)
    words = ("-m", "hydra/launcher=seedfold_local", "hydra.sweeper._target_=hydra_plugins.own_sweeper.OwnSweeper")
    assert "hydra.launcher.wait: false: this sweeper needs" in searching.run(
        *words, "hydra.launcher.wait=false", code=2
    )
    said = searching.run(*words)
    got = [line for line in said.splitlines() if line.startswith("sweeper got")]
    assert [line.split()[2] for line in got] == ["0", "1", "2", "3", "4"]
    assert [line.split()[-1] for line in got] == ["0.0", "0.0", "0.0", "0.0", "4.0"]
    assert "['x=3', '+y=2']" in got[-1]
    assert said.count("train: 1 point was asked for before (x=1) and not run again") == 2
    assert sorted(searching.executions()) == ["0:1:None", "1:1:2", "4:3:2"]
    # Killed and started again, it finds what is done.
    assert "sweeper got 4" in searching.run(*words)
    assert len(searching.executions()) == 3


def test_a_grid_with_a_point_twice_is_refused(searching: HydraProgram) -> None:
    said = searching.run("-m", "hydra/launcher=seedfold_local", "x=1,1", code=2)
    assert "x=1 and x=1: two points with the same configuration; remove one of them, or give each repetition" in said
    assert searching.executions() == []


SEARCH = (
    "-m",
    "hydra/sweeper/sampler=random",
    "hydra/launcher=seedfold_local",
    "hydra.sweep.dir=out",
    "hydra.sweeper.n_jobs=2",
    "hydra.sweeper.n_trials=4",
    "x=interval(0.0,2.0)",
)


def test_the_next_trial_does_not_wait_for_the_slowest(searching: HydraProgram) -> None:
    """The first trial ends when the last one has begun, which batches of two would never come to."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    pytest.importorskip("optuna")
    words = (*SEARCH, "hydra/sweeper=seedfold_optuna", "first_waits=true", "hydra.launcher.slots=2")
    said = searching.run(*words)
    assert "train: 4 done" in said
    first = searching.executions()
    assert [line[:2] for line in first] == ["0:", "1:", "2:", "3:"]
    returned = searching.returned_values()
    results = yaml.safe_load((searching.folder / "out" / "optimization_results.yaml").read_text())
    assert results["best_value"] == min(returned)
    assert (results["best_params"]["x"] - 1) ** 2 == min(returned)
    assert (searching.folder / "out" / "multirun.yaml").exists()
    # The sampler has no seed, and the same command goes on all the same.
    said = searching.run(*words, "hydra.sweeper.n_trials=5")
    assert "train: 5 done" in said
    assert searching.executions()[:4] == first
    assert len(searching.executions()) == 5


def test_optuna_ends_as_under_hydra(searching: HydraProgram) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    pytest.importorskip("optuna")
    words = (*SEARCH, "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=3")
    searching.run(*(word for word in words if "seedfold" not in word))
    theirs, file = searching.executions(), searching.folder / "executions.txt"
    results = (searching.folder / "out" / "optimization_results.yaml").read_text()
    for sweeper in "optuna", "seedfold_optuna":
        file.unlink()
        name = f"hydra.job.name={sweeper}"
        searching.run(*words, f"hydra/sweeper={sweeper}", "hydra.sweep.dir=ours", name, "+mine=" + sweeper)
        assert searching.executions() == theirs
        assert (searching.folder / "ours" / "optimization_results.yaml").read_text() == results


def test_a_search_whose_trials_fail_ends_with_the_error_of_the_job(searching: HydraProgram) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    pytest.importorskip("optuna")
    words = (*SEARCH, "hydra/sweeper=seedfold_optuna", "limit=-1", "hydra.sweeper.n_jobs=1")
    said = searching.run(*words, code=1)
    assert "is too much" in said
    assert "train: 1 failed" in said
    assert len(searching.executions()) == 1
    assert not (searching.folder / "out" / "optimization_results.yaml").exists()
    assert "seedfold_optuna needs seedfold_local" in searching.run(*words, "hydra/launcher=basic", code=2)
