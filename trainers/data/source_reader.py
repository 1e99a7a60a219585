"""Reads samples from a source of the configuration. Users may write sources, so every error becomes one clear line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.samples import Reads, Samples, check_samples
from seedfold.trainers.setup.object_builder import build

_DATA_ERRORS = (LookupError, ValueError, EOFError, FileNotFoundError, NotADirectoryError, IsADirectoryError)

_shared: dict[str, tuple[Samples, list[Path]]] | None = None


@contextmanager
def shared_sources() -> Iterator[None]:
    """Within it, jobs of this process that read equal sources share their samples, which are read once.

    Inside of another one nothing changes. Samples are never changed in place.
    """
    global _shared
    outermost = _shared is None
    _shared = {} if _shared is None else _shared
    try:
        yield
    finally:
        if outermost:
            _shared = None


def read_source(
    node: Mapping[str, Any] | None, key: str, classes: int, reads: Reads, *, labelled: bool = True
) -> Samples:
    """Build the source of ``key`` and return its samples, with float32 inputs and int64 targets.

    Raises DataFailure that names the source if it cannot read, or if its samples are not valid (without ``labelled``,
    targets need not be classes); ConfigFailure if it returns something else.
    """
    if _shared is None:
        return _read_source(node, key, classes, reads, labelled)
    wanted = json.dumps([node, key, classes, labelled], sort_keys=True, default=str)
    if wanted not in _shared:
        files: list[Path] = []
        _shared[wanted] = _read_source(node, key, classes, files.append, labelled), files
    samples, read_files = _shared[wanted]
    for file in read_files:
        reads(file)
    return samples


def _read_source(node: Mapping[str, Any] | None, key: str, classes: int, reads: Reads, labelled: bool) -> Samples:
    source = build(node, key)
    name = f"{key} ({type(source).__name__})"
    if not hasattr(source, "load"):
        use = "give it as data, with a LightningModule as model" if hasattr(source, "train_dataloader") else "define it"
        raise ConfigFailure(f"{name}: has no function load; {use}")
    try:
        samples = source.load(reads)
    except _DATA_ERRORS as error:
        raise DataFailure(f"{name}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(samples, Samples):
        raise ConfigFailure(
            f"{name}: load returned {type(samples).__name__}; return seedfold.trainers.data.samples.Samples"
        )
    _check_lengths(samples, name)
    return check_samples(_convert_types(samples, name), name, classes, labelled=labelled)


def _check_lengths(samples: Samples, name: str) -> None:
    count = len(samples.ids)
    for part in ("inputs", "targets", "groups", "held_out", "shards", "masks"):
        values = getattr(samples, part)
        if values is not None and len(values) != count:
            raise DataFailure(f"{name}: {count} ids, but {len(values)} {part}; there has to be one for each sample")


def _convert_types(samples: Samples, name: str) -> Samples:
    inputs, targets = samples.inputs, np.asarray(samples.targets)
    if targets.dtype.kind not in "iu":
        raise DataFailure(f"{name}: targets are {targets.dtype}; return class numbers, whole and from 0")
    if isinstance(inputs, np.ndarray):
        if inputs.dtype.kind not in "iuf":
            raise DataFailure(f"{name}: inputs are {inputs.dtype}; return numbers")
        inputs = inputs.astype(np.float32, copy=False)
    return replace(samples, inputs=inputs, targets=targets.astype(np.int64, copy=False))
