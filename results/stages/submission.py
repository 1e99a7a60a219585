"""The job that combines the folds of its parents, for people and for the judges of a competition.

Settings are ``submission``. Jobs that differ only in the axis ``passes`` (of test-time augmentation) share one fit.
Each value of this axis has its own tables; the highest value is submitted. The job writes for people:

- ``oof.csv``: id, target, pred (probability of class 1) and fold of every development sample, sorted by id;
- ``submission.csv``, or another name: id and target, the mean over the folds of the probability of class 1, by id;
- the same tables for the other values, as ``oof_PASSES.csv`` and ``submission_PASSES.csv``;
- ``auc.csv``: area under the ROC curve per value and fold, their mean (fold ``mean``), and that of all out-of-fold
  predictions together (fold ``all``), which also ranks samples of one fold against those of others; beside it
  ``train_auroc``, that of training samples, if these were scored;
- ``passes.csv`` and ``passes.svg``, if there are several values: whether more passes are better;
- figures: ``learning.svg``, ``schedule.svg``, ``test_predictions.svg``, and those of
  `seedfold.results.stages.out_of_fold_figures`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.errors import UsageError, count_noun
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.evaluation.averaging import RunningMean
from seedfold.results.evaluation.fold_areas import fold_areas, mean_fold_area
from seedfold.results.evaluation.folds import FOLD_AXIS
from seedfold.results.evaluation.parent_jobs import parent_runs
from seedfold.results.evaluation.pooling import pool_runs, read_runs
from seedfold.results.evaluation.training_areas import add_training_areas, training_areas
from seedfold.results.stages.augmentation_passes import compare_passes
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import auroc, probabilities
from seedfold.results.store.predictions import HeadPredictions

if TYPE_CHECKING:
    import pandas as pd

PRELOAD = (
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "matplotlib.figure",
    "sklearn.metrics",
    "seedfold.results.stages.out_of_fold_figures",
    "seedfold.results.stages.submission_figures",
    "scipy.stats",
)
ALL_FOLDS, MEAN_OF_FOLDS = "all", "mean"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SubmissionSettings:
    """``submission``: the axis of passes, the splits, the file of test predictions, and the columns of sample names."""

    passes: str = "predict.tta"
    development: str = "val"
    test: str = "test"
    file: str = "submission.csv"
    id: str = "id"
    oof_id: str = "id"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SubmissionSettings:
        """Read ``config.submission``; raises ConfigFailure for an unknown key."""
        return read_settings(cls, config.get("submission"), "submission")


@dataclass(frozen=True)
class PassesVariant:
    """The runs of all folds with one number of passes, in the order of their folds."""

    passes: Any
    runs: tuple[FinishedJob, ...]

    def fold_of_run(self, number: int) -> int:
        """Return the fold of the run with this number."""
        return held_out_fold(self.runs[number])


def run(work: Work) -> None:
    """Write the tables and figures; raises ConfigFailure if folds are missing, or if runs differ in more than folds."""
    from seedfold.results.stages.out_of_fold_figures import draw_oof_figures
    from seedfold.results.stages.submission_figures import draw_figures

    settings = SubmissionSettings.from_config(work.config)
    variants = group_by_passes(parent_runs(work), settings.passes)
    try:
        out_of_fold = [make_oof_table(variant, settings) for variant in variants]
        test_tables = [make_submission_table(variant, settings) for variant in variants]
    except UsageError as error:
        raise ConfigFailure(str(error)) from error
    file = Path(settings.file)
    for variant, oof, submission in zip(variants, out_of_fold, test_tables, strict=True):
        ending = "" if variant is variants[-1] else f"_{variant.passes}"
        oof.to_csv(work.outputs / f"oof{ending}.csv", index=False)
        submission.to_csv(work.outputs / f"{file.stem}{ending}{file.suffix}", index=False)
    scores = make_auc_table(variants, out_of_fold, settings.passes)
    scores.to_csv(work.outputs / "auc.csv", index=False)
    for fold, named in ((MEAN_OF_FOLDS, "mean out-of-fold AUC of the folds"), (ALL_FOLDS, "of all folds pooled")):
        for row in scores[scores["fold"] == fold].itertuples(index=False):
            _log.info("%s %s: %s %.4f", settings.passes, row[0], named, row.auroc)
    if len(variants) > 1:
        compare_passes(work.outputs, [each.passes for each in variants], out_of_fold, scores)
    draw_figures(work.outputs, variants[-1].runs, test_tables[-1]["target"])
    draw_oof_figures(work.outputs, out_of_fold[-1])


def group_by_passes(runs: Sequence[FinishedJob], passes: str) -> list[PassesVariant]:
    """Group runs by the axis ``passes``, ascending; raises ConfigFailure if a group does not have each fold once."""
    groups: dict[Any, list[FinishedJob]] = {}
    for each in runs:
        groups.setdefault(each.axes.get(passes, 1), []).append(each)
    if not groups:
        raise ConfigFailure("submission: no parent has predictions; see `after` of its stage")
    return [PassesVariant(value, tuple(_sort_by_fold(groups[value], f"{passes}={value}"))) for value in sorted(groups)]


def _sort_by_fold(runs: Sequence[FinishedJob], name: str) -> list[FinishedJob]:
    ordered = sorted(runs, key=held_out_fold)
    found = [held_out_fold(each) for each in ordered]
    wanted = list(range(int((ordered[0].config or {})["task"]["folds"]["k"])))
    if found != wanted:
        jobs_text = count_noun(len(found), "job")
        raise ConfigFailure(f"submission: {name} has {jobs_text} of folds {found}, it needs one of each of {wanted}")
    return ordered


def held_out_fold(run: FinishedJob) -> int:
    """Return the fold that a run held out."""
    return int((run.config or {})[FOLD_AXIS])


def make_oof_table(variant: PassesVariant, settings: SubmissionSettings) -> pd.DataFrame:
    """Return id, target, pred, fold of each development sample, by id; raises UsageError if they cannot be pooled."""
    import pandas as pd

    [(_, pooled)] = _require_one_head(pool_runs(variant.runs, settings.development))
    folds = [variant.fold_of_run(source) for source in pooled.sources.tolist()]
    rows = pooled.rows
    columns = {"target": rows.targets, "pred": _probability_of_class_1(rows), "fold": folds}
    return pd.DataFrame({settings.oof_id: rows.sample_ids, **columns}).sort_values(settings.oof_id, ignore_index=True)


def make_submission_table(variant: PassesVariant, settings: SubmissionSettings) -> pd.DataFrame:
    """Return id and the mean probability over the folds, each with the same weight, sorted by id."""
    import pandas as pd

    mean: RunningMean | None = None
    for each, heads in zip(variant.runs, read_runs(variant.runs, settings.test), strict=True):
        [(_, head)] = _require_one_head({head.head: head for head in heads})
        mean = mean or RunningMean(head, each.short_id)
        mean.add(head, each.short_id)
    assert mean is not None
    result = mean.mean()
    table = pd.DataFrame({settings.id: result.first_member.sample_ids, "target": result.values[:, 1]})
    return table.sort_values(settings.id, ignore_index=True)


def _require_one_head(heads: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if len(heads) != 1:
        raise UsageError(
            f"submission: these networks have the heads {', '.join(heads)}; a submission needs exactly one"
        )
    return list(heads.items())


def _probability_of_class_1(rows: HeadPredictions) -> Any:
    values = probabilities(rows.logits)
    if values.shape[1] != 2:
        raise UsageError(f"submission: {values.shape[1]} classes; a submission holds the probability of class 1 of two")
    return values[:, 1]


def make_auc_table(variants: Sequence[PassesVariant], tables: Sequence[pd.DataFrame], passes: str) -> pd.DataFrame:
    """Return PASSES, fold, n, auroc: a row per fold with both classes, one for their mean, one for all rows.

    If the runs have scored training samples, ``train_auroc`` has the area of these, as they are, whatever the passes.
    """
    import pandas as pd

    rows = [row for variant, table in zip(variants, tables, strict=True) for row in _auc_rows(variant, table, passes)]
    areas = {variant.passes: training_areas(variant.runs) for variant in variants}
    return add_training_areas(pd.DataFrame(rows), areas, passes, MEAN_OF_FOLDS)


def _auc_rows(variant: PassesVariant, table: pd.DataFrame, passes: str) -> Iterator[dict[str, Any]]:
    positive, predicted, folds = table["target"].to_numpy() == 1, table["pred"].to_numpy(), table["fold"].to_numpy()
    areas: dict[Any, float] = fold_areas(positive, predicted, folds)
    counts = {fold: int((folds == fold).sum()) for fold in areas}
    areas |= {MEAN_OF_FOLDS: mean_fold_area(positive, predicted, folds), ALL_FOLDS: auroc(positive, predicted)}
    for fold, area in areas.items():
        yield {passes: variant.passes, "fold": fold, "n": counts.get(fold, len(table)), "auroc": area}
