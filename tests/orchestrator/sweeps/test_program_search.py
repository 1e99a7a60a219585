"""A search of somebody's own program: the sweeper asks for points, and the same command goes on with them."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import yaml
from hydra_program import HydraProgram
from searchtoy import decision_files

pytestmark = pytest.mark.slow

PROGRAM = """
from pathlib import Path

import hydra
from hydra.utils import get_original_cwd

import seedfold as sf


@hydra.main(version_base=None, config_path="conf", config_name="search")
def main(cfg):
    run = sf.current()
    last = run.checkpoint()
    epoch = int(last.read_text()) if last else 0
    while epoch < 4:
        epoch += 1
        with open(Path(get_original_cwd()) / "epochs.txt", "a") as file:
            file.write(f"{cfg.x:.6f}:{epoch}\\n")
        run.log({"loss": (cfg.x - 0.3) ** 2 + 1 / epoch}, step=epoch)
        (run.checkpoints / "last").write_text(str(epoch))
        if run.stop_requested and epoch < 4:
            run.stop()
    return float((cfg.x - 0.3) ** 2)


if __name__ == "__main__":
    main()
"""


def search(program: HydraProgram, trials: int) -> str:
    """Search so many trials; what was printed."""
    settings = "{space: {x: {uniform: [0, 1]}}, sampler: random, direction: minimize, parallel: 2, seed: 1"
    halving = "metric: loss, halving: {min: 1, max: 4, eta: 2}"
    given = f"hydra.sweeper.search={settings}, {halving}, trials: {trials}}}"
    return program.run("-m", "hydra/sweeper=seedfold", "hydra/launcher=seedfold_local", "hydra.sweep.dir=out", given)


@pytest.fixture
def searching(stranger: HydraProgram) -> HydraProgram:
    """The project with a program that is searched."""
    (stranger.folder / "train.py").write_text(PROGRAM)
    (stranger.folder / "conf" / "search.yaml").write_text("x: 0.5\n")
    return stranger


def trained(program: HydraProgram) -> Counter[str]:
    """How often each epoch of each point was trained."""
    return Counter((program.folder / "epochs.txt").read_text().split())


def test_the_same_command_goes_on_and_paused_trials_go_on_from_their_checkpoints(searching: HydraProgram) -> None:
    assert "search: 2 of 2 trials" in search(searching, 2)
    assert "search: 4 of 4 trials" in search(searching, 4)
    counts = trained(searching)
    assert set(counts.values()) == {1}, "no epoch is trained twice"
    assert len(counts) < 16, "bad trials are not trained to their end"
    assert sum(name.endswith(":4") for name in counts) >= 1
    assert "search: 4 of 4 trials" in search(searching, 4)
    assert trained(searching) == counts
    decisions = [json.loads(file.read_text()) for file in decision_files(searching.toy, "train")]
    assert [one["trial"] for one in decisions if one["kind"] == "start"] == [0, 1, 2, 3]
    best = yaml.safe_load((searching.folder / "out" / "optimization_results.yaml").read_text())
    assert best["best_params"]["x"] in {one["params"]["x"] for one in decisions}
