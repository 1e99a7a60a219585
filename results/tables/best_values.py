"""Which values of a table are the best of their metric, among rows that may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seedfold.results.store.metrics import CLASSIFICATION, LOWER_IS_BETTER

if TYPE_CHECKING:
    import pandas as pd

_ERRORS = LOWER_IS_BETTER | {
    *("absolute_error", "nkld", "cwce", "rbs", "bs", "nbs", "loss", "error", "mse", "nll", "logloss", "perplexity")
}
_SCORES = frozenset(CLASSIFICATION) - LOWER_IS_BETTER | {
    "r2",
    "dice",
    "jaccard",
    "f1",
    "f1_rarest",
    "precision",
    "recall",
    "acc",
    "auc",
    "iou",
}
_COSTS = ("ec", "nec")


def lower_is_better(metric: str) -> bool | None:
    """Return whether smaller values of a metric are better; None for a metric whose name does not tell.

    The end of a name tells: ``val_acc`` and ``test/f1_best`` are scores, ``val_loss`` and ``rmse_best`` are errors.
    """
    words = metric.rpartition("/")[2].lower().removesuffix("_best").split("_")
    ends = {"_".join(words[place:]) for place in range(len(words))}
    if words[0] in _COSTS or ends & _ERRORS:
        return True
    return False if ends & _SCORES else None


def find_best(frame: pd.DataFrame, peers: Sequence[str]) -> list[bool]:
    """Return for each row of a table of metrics whether its value is the best, among rows that agree on ``peers``.

    The value is that of the column ``mean``, else of ``value``. No row is the best if there is only one, if all values
    are the same, or if the name of the metric does not tell whether more is better.
    """
    import pandas as pd

    values = frame["mean" if "mean" in frame.columns else "value"]
    is_best = pd.Series(False, index=frame.index)
    for key, rows in values.groupby([frame[name].map(str) for name in ["metric", *peers]], sort=False):
        lower = lower_is_better(str(key[0]))
        if lower is not None and rows.nunique() > 1:
            is_best[rows.index] = rows == (rows.min() if lower else rows.max())
    return is_best.tolist()
