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
        callbacks=[Killer()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Configured(cfg.model), Data())
    return trainer.callback_metrics["val_loss"].item()


if __name__ == "__main__":
    main()
"""
)
CONFIG = "seed: 7\nmonitor: val_loss\nmodel: {lr: 0.1}\n"


def test_two_processes_of_a_program_are_killed_and_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "conf" / "config.yaml").write_text(CONFIG)
    program = HydraProgram(tmp_path, make_environment(tmp_path), ("app.py",))
    monkeypatch.setitem(program.environment, "KILL_IN_EPOCH", "2")
    words = ("-m", *SEEDFOLD_PLUGINS, "model.lr=0.1", "hydra.launcher.resources.cpus=2")
    assert "1 failed" in program.run(*words, code=1)
    monkeypatch.delitem(program.environment, "KILL_IN_EPOCH")
    toy = program.toy
    toy.output_of("resume", "app", "--wait")
    assert toy.states("app") == {"done": 1}
    job = sf.study("app", toy.root).job("lr=0.1")
    log = job.log
    assert "training goes on from" in log
    [result] = toy.study("app").path.glob("store/*/*")
    with (result / "epochs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    metrics = {one["metric"]: one["value"] for one in json.loads((result / "result.json").read_text())["metrics"]}
    assert metrics["val_loss"] == pytest.approx(float(rows[-1]["val_loss"]))
    # The checkpoint holds a configuration of OmegaConf as well.
    [weights, configuration] = job.export(tmp_path / "best.pt")
    assert configuration.exists()
    assert set(torch.load(weights, weights_only=True)) == {
        f"net.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")
    }
