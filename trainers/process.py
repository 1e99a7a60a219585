"""The process a job runs in: its threads, its quiet, its accelerator."""

from __future__ import annotations

import logging
import os
import warnings

import torch

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.settings import TrainerSettings


def prepare(settings: TrainerSettings) -> None:
    """Set the threads and quieten the libraries; raises ConfigFailure if the accelerator is not there."""
    torch.set_num_threads(settings.threads)
    if settings.accelerator == "cuda":
        # Needed by deterministic matrix products; read once, when CUDA starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if not torch.cuda.is_available():
            raise ConfigFailure("trainer.accelerator: cuda is asked for and this process sees no GPU")
    _quieten()


def _quieten() -> None:
    """Leave one line an epoch: Lightning's banners and its advice on loaders and logging say nothing about the job."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(f"{name}.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
