import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset


class PointsDataModule(LightningDataModule):
    def __init__(self, data_dir: str, batch_size: int = 8) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)

    def setup(self, stage: str | None = None) -> None:
        x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
        self.points = TensorDataset(x, x.sum(1, keepdim=True))

    def train_dataloader(self):
        return DataLoader(self.points, batch_size=self.hparams.batch_size)

    val_dataloader = test_dataloader = train_dataloader
