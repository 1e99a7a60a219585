"""The step that stands in a checkpoint which PyTorch has written, read without PyTorch.

Nothing is called that a checkpoint names. This is imported only where there is a checkpoint.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LARGEST_PICKLE = 64 * 1024**2


def read_step(path: Path) -> list[Any] | None:
    """Return what a checkpoint says of the epochs and batches that are done.

    None for a file that is no checkpoint, is damaged, or does not say it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            [entry] = (one for one in archive.infolist() if one.filename.endswith("/data.pkl"))
            if entry.file_size > _LARGEST_PICKLE:
                return None
            with archive.open(entry) as file:
                return _step_of_state(_PlainUnpickler(file).load())
    except Exception:
        # A file that anybody may have written: whatever is wrong with it, it says no step.
        return None


def _step_of_state(state: Any) -> list[Any] | None:
    if not isinstance(state, Mapping):
        return None
    position = state.get("position", {"epoch": state.get("epoch"), "step": state.get("global_step")})
    return [position["epoch"], position["step"]]


class _Dict(dict[Any, Any]):
    """In place of an ordered dictionary, to which PyTorch gives attributes."""


class _Unknown:
    """In place of each object of a class."""

    def __init__(self, *args: object, **named: object) -> None:
        """Take anything."""

    def __setstate__(self, state: object) -> None:
        """Keep nothing."""

    def __setitem__(self, key: object, value: object) -> None:
        """Keep nothing."""

    def append(self, item: object) -> None:
        """Keep nothing."""

    def __hash__(self) -> int:
        return id(self)


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values; every class or function that is named becomes `_Unknown`."""

    def find_class(self, module_name: str, name: str) -> Any:
        return _Dict if (module_name, name) == ("collections", "OrderedDict") else _Unknown

    def persistent_load(self, identifier: object) -> Any:
        return None
