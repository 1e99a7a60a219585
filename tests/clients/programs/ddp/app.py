"""Training on two processes, which Lightning starts by calling the program again."""

import os
import time
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from lightning_fabric.plugins.environments import LSFEnvironment, SLURMEnvironment
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset


class Line(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def training_step(self, batch, number):
        return self.line(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.arange(8.0)[:, None]), batch_size=2)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
    }
    trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp", max_epochs=1, **quiet)
    trainer.fit(Line())
    seen = sorted(name for name in os.environ if name.startswith(("SLURM_", "LSB_", "SUBMITIT_")))
    said = [f"{trainer.world_size} processes, seed {cfg.seed}", *seen, os.environ.get("SLURM_JOB_NAME", "")]
    found = [kind.__name__ for kind in (SLURMEnvironment, LSFEnvironment) if kind.detect()]
    file = Path(HydraConfig.get().runtime.output_dir, f"rank-{trainer.global_rank}.txt")
    # What is left to do when rank 0 has ended.
    time.sleep(2 * trainer.global_rank)
    file.write_text("\n".join([*said, *(f"detected {name}" for name in found)]))
    return trainer.world_size


if __name__ == "__main__":
    main()
