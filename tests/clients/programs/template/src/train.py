from typing import Any

import hydra
import pytorch_lightning as pl
import rootutils
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.loggers import Logger

rootutils.setup_root(__file__, indicator=".project-root", pythonpath=True)

from src.utils.wrapping import task_wrapper  # noqa: E402


@task_wrapper
def train(cfg: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    if cfg.get("seed"):
        pl.seed_everything(cfg.seed, workers=True)
    data: LightningDataModule = hydra.utils.instantiate(cfg.data)
    model: LightningModule = hydra.utils.instantiate(cfg.model)
    callbacks: list[Callback] = [hydra.utils.instantiate(one) for one in cfg.callbacks.values()]
    loggers: list[Logger] = [hydra.utils.instantiate(one) for one in cfg.logger.values()]
    trainer: Trainer = hydra.utils.instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)
    trainer.fit(model=model, datamodule=data)
    metrics = dict(trainer.callback_metrics)
    trainer.test(model=model, datamodule=data, ckpt_path=trainer.checkpoint_callback.best_model_path)
    return {**metrics, **trainer.callback_metrics}, {"cfg": cfg}


@hydra.main(version_base="1.3", config_path="../configs", config_name="train.yaml")
def main(cfg: DictConfig) -> float | None:
    metrics, _ = train(cfg)
    return metrics[cfg.optimized_metric].item() if cfg.get("optimized_metric") else None


if __name__ == "__main__":
    main()
