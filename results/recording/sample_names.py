"""The names of samples whose predictions are kept: as they are given, or made from the inputs themselves."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from seedfold.jobs.work import DataFailure
from seedfold.results.recording.batch_heads import to_array

_DIGEST_BYTES = 8


def name_samples(split: str, sample_id: Any, inputs: Any) -> list[str]:
    """Return the names (n,) of samples: those of ``sample_id`` (n,), or digests of ``inputs`` (n, …).

    Equal inputs have equal names, in every job and process. Raises DataFailure unless one of the two is given, and for
    names and inputs of other shapes.
    """
    place = f"predictions of split {split!r}"
    if (sample_id is None) == (inputs is None):
        given = "neither" if sample_id is None else "both"
        raise DataFailure(f"{place}: give sample_id or inputs, so that samples are known by name; {given} was given")
    return _to_names(place, sample_id) if inputs is None else _digest_inputs(place, inputs)


def _to_names(place: str, sample_id: Any) -> list[str]:
    values: Sequence[Any] = sample_id.tolist() if hasattr(sample_id, "tolist") else list(sample_id)
    if isinstance(sample_id, str) or (hasattr(sample_id, "tolist") and sample_id.ndim != 1):
        shape = getattr(sample_id, "shape", "one text")
        raise DataFailure(f"{place}: sample_id has to have one name for each sample; it is {shape}")
    return [str(value.item() if hasattr(value, "item") else value) for value in values]


def _digest_inputs(place: str, inputs: Any) -> list[str]:
    rows = to_array(inputs)
    if rows.dtype == object or rows.ndim == 0:
        raise DataFailure(f"{place}: inputs have to be one array or tensor (n, …); give sample_id instead")
    rows = np.ascontiguousarray(rows)
    names = [hashlib.blake2b(row.tobytes(), digest_size=_DIGEST_BYTES).hexdigest() for row in rows]
    repeated = sum(count - 1 for count in Counter(names).values())
    if repeated:
        raise DataFailure(
            f"{place}: {repeated} samples have the same inputs as others, so inputs do not name them; give sample_id"
        )
    return names
