"""Reads the tensors of a checkpoint that holds objects of classes as well, and executes no code of these.

Lightning keeps the hyper-parameters of a module as they are: configurations of OmegaConf, functions, whole networks.
``torch.load(weights_only=True)`` refuses such a file. Here each object of an unknown class becomes a `LeftOut`.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch._utils import _rebuild_parameter, _rebuild_tensor_v2

_KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch", "Size"): torch.Size,
    ("torch.storage", "UntypedStorage"): torch.UntypedStorage,
}
"""What tensors and plain values are made with. Nothing else is called."""


class LeftOut:
    """Stands for an object that was left out, whatever it was made of and filled with."""

    def __new__(cls, *arguments: Any, **named: Any) -> LeftOut:
        """Take any arguments."""
        return super().__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take any arguments."""

    def __call__(self, *arguments: Any, **named: Any) -> LeftOut:
        """Stand for what a function would return."""
        return self

    def __setstate__(self, state: Any) -> None:
        """Keep no state."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep no items."""

    def append(self, value: Any) -> None:
        """Keep no values."""

    def extend(self, values: Any) -> None:
        """Keep no values."""

    def add(self, value: Any) -> None:
        """Keep no values."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what tensors are made with, and `LeftOut` for all else."""
        return _KNOWN.get((module, name), LeftOut)


def load_tensors(path: Path) -> Any:
    """Return what ``path`` holds, with tensors on the CPU and a `LeftOut` in place of each object of another class.

    Raises RuntimeError, EOFError, or `pickle.UnpicklingError` if it cannot be read.
    """
    reader: Any = SimpleNamespace(
        __name__=__name__, Unpickler=_Unpickler, load=lambda file, **named: _Unpickler(file).load()
    )
    return torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)
