import torch
from pytorch_lightning import LightningModule


class LineModule(LightningModule):
    def __init__(self, net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False, ignore=["net", "optimizer"])
        self.net, self.optimizer = net, optimizer

    def _step(self, batch, name):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.net(x), y)
        self.log(name, loss, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch, number):
        return self._step(batch, "train/loss")

    def validation_step(self, batch, number):
        self._step(batch, "val/loss")

    def test_step(self, batch, number):
        self._step(batch, "test/loss")

    def configure_optimizers(self):
        return self.optimizer(params=self.parameters())
