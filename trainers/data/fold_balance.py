"""How equal the parts of a division into folds or shards are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seedfold.trainers.data.samples import Indices, Samples

if TYPE_CHECKING:
    import pandas as pd


def make_balance_table(samples: Samples, part_of_samples: Indices, name: str, classes: int) -> pd.DataFrame:
    """Return rows of parts: NAME, samples, class_0 …, share_0 … (the classes' shares), and with groups also ``groups``,
    ``samples_per_group`` (mean), its ``_median`` and ``_max``, and ``shared_groups``, the groups that other parts have
    as well.
    """
    import pandas as pd

    rows = []
    for part in np.unique(part_of_samples).tolist():
        in_part = part_of_samples == part
        counts = np.bincount(samples.targets[in_part], minlength=classes)
        row = {name: part, "samples": int(in_part.sum())}
        row |= {f"class_{number}": int(count) for number, count in enumerate(counts)}
        row |= {f"share_{number}": float(count / in_part.sum()) for number, count in enumerate(counts)}
        rows.append(row | _group_columns(samples, in_part))
    return pd.DataFrame(rows)


def _group_columns(samples: Samples, in_part: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> dict[str, float]:
    if samples.groups is None:
        return {}
    groups, sizes = np.unique(samples.groups[in_part], return_counts=True)
    return {
        "groups": len(groups),
        "samples_per_group": float(sizes.mean()),
        "samples_per_group_median": float(np.median(sizes)),
        "samples_per_group_max": int(sizes.max()),
        "shared_groups": int(np.isin(groups, samples.groups[~in_part]).sum()),
    }
