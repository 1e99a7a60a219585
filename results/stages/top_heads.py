"""The job that ranks the heads of all models of its parents and averages the best; settings are ``ensemble``.

It publishes predictions of the ensemble (head ``top_N``), and on the validation rows also those of an ensemble whose
members were chosen on other folds (head ``nested``). For people it writes ``ensemble.csv``
(`TopMemberEnsembles.score_table`), ``scores.csv`` with the rows of the number of members that is used, ``members.csv``,
``oof.csv``, ``submission.csv`` and the figures of `seedfold.results.stages.top_heads_figures`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.errors import UsageError
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.ensembles.head_members import FOLD_PREFIX, VALIDATION_SPLIT, read_members
from seedfold.results.ensembles.top_members import MemberChoice, TopMemberEnsembles, make_ensembles
from seedfold.results.evaluation.parent_jobs import parent_runs
from seedfold.results.store.metrics import probabilities
from seedfold.results.store.predictions import HeadPredictions, write_predictions

if TYPE_CHECKING:
    import pandas as pd

PRELOAD = ("numpy", "pandas", "pyarrow.parquet", "matplotlib.figure", "seedfold.results.stages.top_heads_figures")
NESTED_HEAD = "nested"

_log = logging.getLogger(__name__)


def run(work: Work) -> None:
    """Write the predictions, tables and the figure; raises ConfigFailure if no ensemble can be made."""
    from seedfold.results.stages.top_heads_figures import draw_figures

    choice = read_settings(MemberChoice, work.config.get("ensemble"), "ensemble")
    try:
        members = read_members(parent_runs(work))
        ensembles = make_ensembles(members, choice)
    except UsageError as error:
        raise ConfigFailure(str(error)) from error
    for reason in ensembles.left_out:
        _log.warning("ensemble: left out %s", reason)
    table = ensembles.score_table()
    for row in table[["split", "chosen_on", "n", choice.rank_by]].itertuples(index=False):
        _log.info("%s, members chosen on %s, n %s: %s %s", *row[:3], choice.rank_by, row[3])
    _write_predictions(work, ensembles)
    table.to_csv(work.outputs / "ensemble.csv", index=False)
    ensembles.used_score_table().to_csv(work.outputs / "scores.csv", index=False)
    ensembles.member_table(choice.rank_by).to_csv(work.outputs / "members.csv", index=False)
    if ensembles.left_out:
        (work.outputs / "left_out.txt").write_text("\n".join([*ensembles.left_out, ""]))
    _write_people_tables(work.outputs, ensembles)
    draw_figures(work.outputs, members, table, choice.rank_by, _test_predictions(ensembles))


def _write_predictions(work: Work, ensembles: TopMemberEnsembles) -> None:
    heads = [ensembles.validation_curve[ensembles.n - 1]]
    if ensembles.cross_fitted is not None:
        nested = ensembles.cross_fitted.best
        heads.append(HeadPredictions(NESTED_HEAD, nested.ids, nested.targets, nested.known, nested.logits))
    _write_split(work, VALIDATION_SPLIT, heads)
    for split, curve in ensembles.curve_by_test_split.items():
        head = curve[ensembles.n - 1]
        _write_split(work, split, [HeadPredictions(heads[0].head, head.ids, head.targets, head.known, head.logits)])


def _write_split(work: Work, split: str, heads: list[HeadPredictions]) -> None:
    first, ids = heads[0], list(heads[0].sample_ids)
    position_by_id = {name: row for row, name in enumerate(ids)}
    logits = {}
    for head in heads:
        rows = np.argsort([position_by_id[name] for name in head.sample_ids])
        logits[head.head] = head.logits[rows]
    targets = np.ma.masked_array(first.targets, ~first.known)
    write_predictions(
        work.staging, split, job=work.description, sample_ids=ids, targets=targets, logits=logits, expected=ids
    )


def _write_people_tables(folder: Path, ensembles: TopMemberEnsembles) -> None:
    """Write the files for a competition: out-of-fold rows, each by members chosen on other folds, and test rows."""
    out_of_fold = (
        ensembles.validation_curve[ensembles.n - 1] if ensembles.cross_fitted is None else ensembles.cross_fitted.best
    )
    frame = _make_table(out_of_fold)
    frame["fold"] = frame["sample_id"].map(_fold_by_sample(ensembles))
    frame.sort_values("sample_id").to_csv(folder / "oof.csv", index=False)
    for split, curve in ensembles.curve_by_test_split.items():
        name = "submission.csv" if split == "test" else f"submission_{split}.csv"
        rows = _make_table(curve[ensembles.n - 1]).drop(columns="target")
        rows.sort_values("sample_id").to_csv(folder / name, index=False)


def _test_predictions(ensembles: TopMemberEnsembles) -> pd.Series[float] | None:
    """Return the predictions of the test samples by the ensemble; None if there are more than two classes."""
    if "test" not in ensembles.curve_by_test_split:
        return None
    return _make_table(ensembles.curve_by_test_split["test"][ensembles.n - 1]).get("pred")


def _fold_by_sample(ensembles: TopMemberEnsembles) -> dict[str, str]:
    return {
        name: fold.removeprefix(FOLD_PREFIX)
        for fold, members in ensembles.ranking.items()
        for name in members[0].rows_by_split[VALIDATION_SPLIT].sample_ids
    }


def _make_table(head: HeadPredictions) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame({"sample_id": head.sample_ids})
    frame["target"] = pd.Series(head.targets, dtype="Int64").where(head.known)
    found = probabilities(head.logits)
    if found.shape[1] == 2:
        return frame.assign(pred=found[:, 1])
    return frame.assign(**{f"pred_{number}": found[:, number] for number in range(found.shape[1])})
