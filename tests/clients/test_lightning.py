"""A Hydra program that trains with Lightning on two processes, unchanged: killed, gone on with, and exported."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from hydra_program import SEEDFOLD_PLUGINS, HydraProgram, make_environment
from lightning_program import MODULES

import seedfold as sf

pytestmark = pytest.mark.slow

APP = (
    "import hydra\n"
    + MODULES
    + """

class Configured(Net):
    def __init__(self, settings):
        super().__init__(settings.lr)
        self.save_hyperparameters()


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    pl.seed_everything(cfg.seed)
    trainer = pl.Trainer(
        max_epochs=4,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        callbacks=[Killer()] if cfg.mortal else [],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Configured(cfg.model), Data())
    return trainer.callback_metrics["val_loss"].item()


if __name__ == "__main__":
    main()
"""
)
CONFIG = "seed: 7\nmonitor: val_loss\nmortal: 0\nmodel: {lr: 0.1}\n"


def epochs(result: Path) -> list[dict[str, str]]:
    with (result / "epochs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_of_a_program_are_killed_and_end_with_the_bits_of_those_that_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "conf" / "config.yaml").write_text(CONFIG)
    program = HydraProgram(tmp_path, make_environment(tmp_path), ("app.py",), trains=True)
    monkeypatch.setitem(program.environment, "KILL_IN_EPOCH", "2")
    words = ("-m", *SEEDFOLD_PLUGINS, "mortal=0,1", "hydra.launcher.resources.cpus=2")
    assert "1 failed" in program.run(*words, code=1)
    monkeypatch.delitem(program.environment, "KILL_IN_EPOCH")
    toy = program.toy
    toy.output_of("resume", "app", "--wait")
    assert toy.states("app") == {"done": 2}
    whole, killed = (sf.study("app", toy.root).job(f"mortal={mortal}") for mortal in (0, 1))
    assert "training goes on from" not in whole.log
    assert "training goes on from" in killed.log
    of_whole, of_killed = (toy.study("app").result_folder(job.id, n) for n, job in enumerate((whole, killed), 1))
    rows = epochs(of_killed)
    assert rows == epochs(of_whole)
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    metrics = {one["metric"]: one["value"] for one in json.loads((of_killed / "result.json").read_text())["metrics"]}
    assert metrics["val_loss"] == pytest.approx(float(rows[-1]["val_loss"]))
    # The checkpoint holds a configuration of OmegaConf as well.
    [weights, configuration] = killed.export(tmp_path / "best.pt")
    assert configuration.exists()
    [expected, _] = whole.export(tmp_path / "whole.pt")
    found = torch.load(weights, weights_only=True)
    assert set(found) == {f"net.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")}
    assert all(torch.equal(found[name], value) for name, value in torch.load(expected, weights_only=True).items())
