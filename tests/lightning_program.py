"""A Lightning script as somebody writes it who does not know Seedfold, and the attempts of a job that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.results.recording.attempt_file import ATTEMPT_VARIABLE, Attempt
from seedfold.trainers.programs.lightning_hook import prepare_environment

MODULES = '''
import os
import signal

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(pl.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 2))

    def training_step(self, batch, number):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, number):
        outputs = self.net(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(outputs, batch[1]), sync_dist=True)
        self.log("val_acc", (outputs.argmax(1) == batch[1]).float().mean())

    def test_step(self, batch, number):
        self.log("test_acc", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

    def predict_step(self, batch, number):
        return {"logits": self.net(batch[0]), "target": batch[1]}

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), self.hparams.lr)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.3)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}


class Data(pl.LightningDataModule):
    def __init__(self, fold=0, size=8):
        super().__init__()
        self.fold, self.size = fold, size

    def setup(self, stage):
        inputs = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
        samples, held_out = TensorDataset(inputs, (inputs.sum(1) > 0).long()), torch.arange(48) % 3 == self.fold
        self.train = torch.utils.data.Subset(samples, torch.where(~held_out)[0].tolist())
        self.val = torch.utils.data.Subset(samples, torch.where(held_out)[0].tolist())

    def train_dataloader(self):
        return DataLoader(self.train, self.size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, self.size)

    def test_dataloader(self):
        return DataLoader(self.val, self.size)


class Killer(pl.Callback):
    """Kills its process in the epoch that the environment names."""

    def on_train_batch_end(self, trainer, module, outputs, batch, number):
        if number == 1 and os.environ.get("KILL_IN_EPOCH") == str(trainer.current_epoch):
            os.kill(os.getpid(), signal.SIGKILL)
'''

SCRIPT = (
    MODULES
    + """

if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    arguments = parser.parse_args()
    pl.seed_everything(0)
    model, data = Net(arguments.lr), Data()
    trainer = pl.Trainer(
        max_epochs=5, accelerator="cpu", devices=1, callbacks=[Killer()], enable_progress_bar=False
    )
    trainer.fit(model, data)
    trainer.test(model, data, verbose=False)
    print("made", trainer.global_step, "steps", flush=True)
"""
)


def start_attempt(
    folder: Path, number: int, *words: str, python: Path = Path(sys.executable), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``train.py`` of ``folder`` as an attempt of a job whose folder is ``folder/job``, to its end."""
    config: dict[str, Any] = {"monitor": "val_loss"}
    job = JobDescription("a" * 64, "s", "train", {}, config, (), Resources(), "toy")
    variables = {**os.environ, ATTEMPT_VARIABLE: str(Attempt(job, number, folder / "job").write()), **environment}
    prepare_environment({}, variables)
    command = [python, "train.py", *words]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
