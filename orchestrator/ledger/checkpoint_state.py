"""Reads the plain values of a checkpoint that PyTorch has written, without PyTorch; nothing that it names is called."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

_LARGEST_PICKLE = 64 * 1024**2


def read_state(path: Path) -> Any:
    """Return what a checkpoint holds; None for one that is too large. Raises any exception for a damaged file."""
    with zipfile.ZipFile(path) as archive:
        [entry] = (one for one in archive.infolist() if one.filename.endswith("/data.pkl"))
        if entry.file_size > _LARGEST_PICKLE:
            return None
        with archive.open(entry) as file:
            return _PlainUnpickler(file).load()


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
