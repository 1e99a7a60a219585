"""The process a job runs in: its threads, its quiet, its accelerator."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from seedfold.jobs.errors import count_noun
from seedfold.jobs.resources import parse_memory
from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.setup.settings import TrainerSettings


def gpu_memory_cap(config: Mapping[str, Any]) -> int | None:
    """The most bytes of GPU memory that this job may take, ``cluster.gpu_memory_cap``; None for no limit."""
    cap = (config.get("cluster") or {}).get("gpu_memory_cap")
    return parse_memory(cap, "cluster.gpu_memory_cap") if cap else None


def distributed_backend(settings: TrainerSettings) -> str:
    """What the processes of a job on several devices talk through."""
    return "cpu:gloo,cuda:nccl" if settings.accelerator == "cuda" else "gloo"


def prepare_process(settings: TrainerSettings, gpu_memory: int | None = None, device: int = 0) -> None:
    """Set the threads and limits and quieten the libraries, for a process on the GPU number ``device`` of the job.

    Raises ConfigFailure if the accelerator is not there.
    """
    torch.set_num_threads(settings.threads)
    if settings.accelerator == "cuda":
        # Needed by deterministic matrix products; read once, when CUDA starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if not torch.cuda.is_available():
            raise ConfigFailure("trainer.accelerator: cuda is asked for, but this process sees no GPU")
        if torch.cuda.device_count() <= device:
            gpus_text = count_noun(torch.cuda.device_count(), "GPU")
            raise ConfigFailure(f"resources.gpus: more than {device} are asked for, but this process sees {gpus_text}")
        if gpu_memory is not None:
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, gpu_memory / total), device)
    _silence_libraries()


def _silence_libraries() -> None:
    """Leave one line an epoch: Lightning's banners and its advice on loaders and logging say nothing about the job."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(f"{name}.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    # Every process of a job knows the metrics of the whole split.
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
