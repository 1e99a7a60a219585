"""Areas under the ROC curve of the samples that jobs have trained on, beside those of out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.results.evaluation.folds import FOLD_AXIS
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import load_result

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "train_auroc"


def training_areas(runs: Sequence[FinishedJob]) -> dict[int, float]:
    """Return the area of each run that has scored its training samples (`trainer.train_metrics`), by its fold."""
    areas = {}
    for run in runs:
        found = [
            each["value"]
            for each in load_result(run.folder).metrics
            if (each["split"], each["metric"]) == ("train", "auroc") and each["value"] is not None
        ]
        if len(found) == 1:
            areas[int((run.config or run.axes)[FOLD_AXIS])] = found[0]
    return areas


def add_training_areas(
    table: pd.DataFrame, by_model: Mapping[Any, Mapping[int, float]], column: str, mean: str
) -> pd.DataFrame:
    """Return a table of areas with the column `COLUMN`, where there are such areas.

    ``column`` is that of the model; the column ``fold`` holds folds and ``mean``, the row of their mean.
    """
    if not any(by_model.values()):
        return table

    def area(model: Any, fold: Any) -> float:
        areas = by_model.get(model, {})
        if fold == mean:
            return float(np.mean(list(areas.values()))) if areas else float("nan")
        return areas.get(fold, float("nan"))

    values = [area(model, fold) for model, fold in zip(table[column], table["fold"], strict=True)]
    return table.assign(**{COLUMN: values})
