"""Every random state of a process: set from one seed, taken down for a checkpoint, put back.

What a step draws on purpose (order, augmentation) comes from generators that are functions of numbers; the global
states, saved with each checkpoint, are for what libraries draw on their own, such as dropout.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

RandomState = dict[str, Any]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy, torch (all devices) and, through Lightning, the workers of data loaders."""
    from pytorch_lightning import seed_everything as seed_all

    seed_all(seed, workers=True, verbose=False)


def get_random_state() -> RandomState:
    """Return the state of every global generator as plain values and tensors."""
    algorithm, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (algorithm, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],  # type: ignore[no-untyped-call]
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put back what `get_random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    algorithm, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([device.cpu() for device in state["cuda"]])


def make_generator(device: torch.device, *numbers: int) -> torch.Generator:
    """Return a generator on ``device`` whose stream is a function of ``numbers`` (not negative) alone."""
    mixed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(mixed) >> 1)


def derive_seed(*numbers: int) -> int:
    """Return a seed below 2**32 that is a function of ``numbers`` (not negative) alone."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
