"""The job that averages the probabilities of its parents, over models and folds; settings are ``mean``.

A development sample gets the mean over the models that held it out, a test sample that over all models of all folds,
each with the same weight. It publishes these means as predictions (head ``mean``), and for people:

- ``auc.csv``: area under the ROC curve per model and of their mean, by fold, as the mean of the folds (fold ``mean``),
  and of all out-of-fold predictions together (fold ``all``); beside it ``train_auroc``, that of the samples that each
  model was fitted on, if these were scored;
- ``oof.csv``: id, target, fold, the probability of class 1 by each model, and ``pred``, their mean, sorted by id;
- a file of test predictions: id and the mean probability of class 1, sorted by id; and ``test_predictions.svg``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.errors import UsageError
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.ensembles.mean_ensemble import Ensemble, iterate_ensembles
from seedfold.results.evaluation.averaging import MeanPredictions
from seedfold.results.evaluation.axes import format_value, group_runs
from seedfold.results.evaluation.fold_areas import fold_areas, mean_fold_area
from seedfold.results.evaluation.folds import FOLD_AXIS, add_zipped_axes, find_gaps, refuse_gaps
from seedfold.results.evaluation.parent_jobs import parent_runs
from seedfold.results.evaluation.pooling import pool_runs
from seedfold.results.evaluation.training_areas import add_training_areas, training_areas
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import auroc
from seedfold.results.store.predictions import write_predictions

if TYPE_CHECKING:
    import pandas as pd

PRELOAD = ("numpy", "pandas", "pyarrow.parquet", "matplotlib.figure", "seedfold.results.stages.mean")
ALL_FOLDS, MEAN_NAME, PREDICTION_COLUMN = "all", "mean", "pred"
DEVELOPMENT_SPLIT, TEST_SPLIT = "val", "test"

_log = logging.getLogger(__name__)
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class MeanSettings:
    """``mean``: the axis of the models, the file of test predictions, and the names of its columns."""

    over: str = "model"
    file: str = "submission.csv"
    id: str = "id"
    target: str = "target"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MeanSettings:
        """Read ``config.mean``; raises ConfigFailure for an unknown key."""
        return read_settings(cls, config.get("mean"), "mean")


def run(work: Work) -> None:
    """Write predictions and tables; raises ConfigFailure if a model lacks folds, or if models cannot be combined."""
    from seedfold.results.stages.submission_figures import draw_predictions

    settings, runs = MeanSettings.from_config(work.config), parent_runs(work)
    try:
        _refuse_missing_folds(runs)
        models = _ensembles_by_split(runs, FOLD_AXIS)
        means = {split: found[0] for split, found in _ensembles_by_split(runs, [settings.over, FOLD_AXIS]).items()}
        oof = _make_oof_table(models[DEVELOPMENT_SPLIT], means[DEVELOPMENT_SPLIT], settings)
    except UsageError as error:
        raise ConfigFailure(str(error)) from error
    for split, each in means.items():
        write_mean_predictions(work, split, _only_head(each), MEAN_NAME)
    oof.to_csv(work.outputs / "oof.csv", index=False)
    areas = {
        format_value(each.group.axes[settings.over]): training_areas(each.group.runs)
        for each in models[DEVELOPMENT_SPLIT]
    }
    scores = add_training_areas(make_auc_table(oof, [*oof.columns[3:]]), areas, "model", MEAN_NAME)
    scores.to_csv(work.outputs / "auc.csv", index=False)
    log_areas(scores)
    if TEST_SPLIT in means:
        test_table = make_test_table(_only_head(means[TEST_SPLIT]), settings.id, settings.target)
        test_table.to_csv(work.outputs / settings.file, index=False)
        draw_predictions(work.outputs, test_table[settings.target])


def _refuse_missing_folds(runs: Sequence[FinishedJob]) -> None:
    """Raise if a model lacks a fold that another has; `ensembles` counts the folds that all models should have."""
    if not runs:
        raise UsageError("mean: no parent has predictions; see `after` of its stage")
    folds = add_zipped_axes(runs, [FOLD_AXIS])
    refuse_gaps(find_gaps(group_runs(runs, folds), folds, None), "mean")


def _ensembles_by_split(runs: Sequence[FinishedJob], over: str | Sequence[str]) -> dict[str, list[Ensemble]]:
    found: dict[str, list[Ensemble]] = {}
    for each in iterate_ensembles(runs, over, planned=runs):
        found.setdefault(each.split, []).append(each)
    if DEVELOPMENT_SPLIT not in found:
        raise UsageError(f"mean: no parent has predictions of split {DEVELOPMENT_SPLIT!r}; see `after` of its stage")
    return found


def _only_head(each: Ensemble) -> MeanPredictions:
    if len(each.means_by_head) != 1:
        raise UsageError(
            f"mean: these models have the heads {', '.join(each.means_by_head)}; the mean needs exactly one"
        )
    [mean] = each.means_by_head.values()
    if mean.first_member.is_regression or mean.values.shape[1] != 2:
        raise UsageError("mean: the mean is the probability of class 1 of two classes; these models have other targets")
    return mean


def _make_oof_table(models: Sequence[Ensemble], mean: Ensemble, settings: MeanSettings) -> pd.DataFrame:
    import pandas as pd

    rows = _only_head(mean).first_member
    table = pd.DataFrame({settings.id: rows.sample_ids, "target": rows.targets})
    table["fold"] = table[settings.id].map(_fold_by_sample(models[0].group.runs))
    for each in models:
        own = _only_head(each)
        probabilities = dict(zip(own.first_member.sample_ids, own.values[:, 1], strict=True))
        table[format_value(each.group.axes[settings.over])] = table[settings.id].map(probabilities)
    table[PREDICTION_COLUMN] = _only_head(mean).values[:, 1]
    return table.sort_values(settings.id, ignore_index=True)


def _fold_by_sample(runs: Sequence[FinishedJob]) -> dict[str, Any]:
    [pooled] = pool_runs(runs, DEVELOPMENT_SPLIT).values()
    return {
        name: runs[position].axes[FOLD_AXIS]
        for name, position in zip(pooled.rows.sample_ids, pooled.sources, strict=True)
    }


def make_auc_table(oof: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return model, fold, n, auroc for the probabilities in ``columns``: rows per fold, for their mean, and for all.

    Folds that lack a class have no area and do not count in the mean.
    """
    import pandas as pd

    return pd.DataFrame([row for name in columns for row in _auc_rows(oof, name)])


def _auc_rows(oof: pd.DataFrame, name: str) -> Iterator[dict[str, Any]]:
    positive, predicted, folds = oof["target"].to_numpy() == 1, oof[name].to_numpy(), oof["fold"].to_numpy()
    areas: dict[Any, float] = fold_areas(positive, predicted, folds)
    counts = {fold: int((folds == fold).sum()) for fold in areas}
    areas |= {MEAN_NAME: mean_fold_area(positive, predicted, folds), ALL_FOLDS: auroc(positive, predicted)}
    model = MEAN_NAME if name == PREDICTION_COLUMN else name
    for fold, area in areas.items():
        yield {"model": model, "fold": fold, "n": counts.get(fold, len(oof)), "auroc": area}


def log_areas(scores: pd.DataFrame) -> None:
    """Log for each model in a table of `make_auc_table` the mean of the folds' areas, and the pooled area."""
    for fold, named in ((MEAN_NAME, "mean out-of-fold AUC of the folds"), (ALL_FOLDS, "of all folds pooled")):
        for row in scores[scores["fold"] == fold].itertuples(index=False):
            _log.info("%s: %s %.4f", row.model, named, row.auroc)


def make_test_table(mean: MeanPredictions, identifier: str, target: str) -> pd.DataFrame:
    """Return the columns ``identifier`` and ``target``, the probability of class 1, sorted by the first."""
    import pandas as pd

    table = pd.DataFrame({identifier: mean.first_member.sample_ids, target: mean.values[:, 1]})
    return table.sort_values(identifier, ignore_index=True)


def write_mean_predictions(work: Work, split: str, mean: MeanPredictions, head: str) -> None:
    """Publish probabilities as predictions of a head."""
    ids = list(mean.first_member.sample_ids)
    write_predictions(
        work.staging,
        split,
        job=work.description,
        sample_ids=ids,
        targets=np.ma.masked_array(mean.first_member.targets, ~mean.first_member.known),
        logits={head: np.log(np.maximum(mean.values, _TINY)).astype(np.float32)},
        expected=ids,
    )
