"""Learning curves: the metric history ``epochs.csv`` of many runs, as median and spread per group and epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seedfold.results.evaluation.axes import Group
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import HISTORY_FILE

if TYPE_CHECKING:
    import pandas as pd

LOW_QUANTILE, HIGH_QUANTILE = 0.1, 0.9


def read_histories(runs: Sequence[FinishedJob]) -> pd.DataFrame:
    """Return the epochs of all runs that kept a history: job, epoch, and the columns of their files."""
    import pandas as pd

    parts = []
    for run in runs:
        file = run.folder / HISTORY_FILE
        if file.exists():
            part = pd.read_csv(file)
            part.insert(0, "job", run.short_id)
            parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"job": [], "epoch": []})


def learning_curve(group: Group, column: str) -> pd.DataFrame:
    """Return epoch, median, low, high, runs: over the runs of a group that got there, with the 10 % and 90 % quantiles.

    Empty if no run of the group has the column.
    """
    import pandas as pd

    found = read_histories(group.runs)
    if column not in found or "epoch" not in found:
        return pd.DataFrame({"epoch": [], "median": [], "low": [], "high": [], "runs": []})
    by_epoch = found.dropna(subset=[column]).groupby("epoch")[column]
    return pd.DataFrame(
        {
            "median": by_epoch.median(),
            "low": by_epoch.quantile(LOW_QUANTILE),
            "high": by_epoch.quantile(HIGH_QUANTILE),
            "runs": by_epoch.size(),
        }
    ).reset_index()
