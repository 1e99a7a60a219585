"""The job that ranks the heads of all models of its parents and averages the best; settings are ``ensemble``.

It leaves predictions of the ensemble (head ``top_N``), and on the validation rows of one whose members other folds have
chosen (head ``nested``), and for people ``ensemble.csv`` (`Ensembles.table`), ``members.csv``, ``oof.csv``,
``submission.csv`` and the figures of `seedfold.results.stages.top_heads_figures`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seedfold.jobs.errors import UsageError
from seedfold.jobs.settings import read_settings
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.ensembles.members import PREFIX, VALIDATION, read_members
from seedfold.results.ensembles.top_members import Choice, Ensembles, make_ensembles
from seedfold.results.evaluation.parents import parent_runs
from seedfold.results.store.metrics import probabilities
from seedfold.results.store.predictions import HeadPredictions, write_predictions

if TYPE_CHECKING:
    import pandas as pd

PRELOAD = ("numpy", "pandas", "pyarrow.parquet", "matplotlib.figure", "seedfold.results.stages.top_heads_figures")
NESTED = "nested"

_log = logging.getLogger(__name__)


def run(work: Work) -> None:
    """Write the predictions, tables and the figure; raises ConfigFailure where no ensemble can be made."""
    from seedfold.results.stages.top_heads_figures import draw_figures

    choice = read_settings(Choice, work.config.get("ensemble"), "ensemble")
    try:
        members = read_members(parent_runs(work))
        made = make_ensembles(members, choice)
    except UsageError as error:
        raise ConfigFailure(str(error)) from error
    table = made.table()
    for row in table[["split", "chosen_on", "n", choice.rank_by]].itertuples(index=False):
        _log.info("%s, members chosen on %s, n %s: %s %s", *row[:3], choice.rank_by, row[3])
    _write_predictions(work, made)
    table.to_csv(work.outputs / "ensemble.csv", index=False)
    made.members(choice.rank_by).to_csv(work.outputs / "members.csv", index=False)
    _write_rows(work.outputs, made)
    draw_figures(work.outputs, members, table, choice.rank_by, _predicted(made))


def _write_predictions(work: Work, made: Ensembles) -> None:
    heads = [made.validation[made.n - 1]]
    if made.honest is not None:
        nested = made.honest.best
        heads.append(HeadPredictions(NESTED, nested.ids, nested.targets, nested.known, nested.logits))
    _write_split(work, VALIDATION, heads)
    for split, curve in made.test.items():
        head = curve[made.n - 1]
        _write_split(work, split, [HeadPredictions(heads[0].head, head.ids, head.targets, head.known, head.logits)])


def _write_split(work: Work, split: str, heads: list[HeadPredictions]) -> None:
    first, ids = heads[0], list(heads[0].sample_ids)
    place = {name: row for row, name in enumerate(ids)}
    logits = {}
    for head in heads:
        rows = np.argsort([place[name] for name in head.sample_ids])
        logits[head.head] = head.logits[rows]
    targets = np.ma.masked_array(first.targets, ~first.known)
    write_predictions(
        work.staging, split, job=work.description, sample_ids=ids, targets=targets, logits=logits, expected=ids
    )


def _write_rows(folder: Path, made: Ensembles) -> None:
    """Write what a competition asks for: out-of-fold rows, each by members that other folds chose, and test rows."""
    honest = made.validation[made.n - 1] if made.honest is None else made.honest.best
    frame = _frame(honest)
    frame["fold"] = frame["sample_id"].map(_folds(made))
    frame.sort_values("sample_id").to_csv(folder / "oof.csv", index=False)
    for split, curve in made.test.items():
        name = "submission.csv" if split == "test" else f"submission_{split}.csv"
        rows = _frame(curve[made.n - 1]).drop(columns="target")
        rows.sort_values("sample_id").to_csv(folder / name, index=False)


def _predicted(made: Ensembles) -> pd.Series[float] | None:
    """What the ensemble that is used predicts of the test samples; None where there are more than two classes."""
    if "test" not in made.test:
        return None
    return _frame(made.test["test"][made.n - 1]).get("pred")


def _folds(made: Ensembles) -> dict[str, str]:
    return {
        name: fold.removeprefix(PREFIX)
        for fold, members in made.ranking.items()
        for name in members[0].splits[VALIDATION].sample_ids
    }


def _frame(head: HeadPredictions) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame({"sample_id": head.sample_ids})
    frame["target"] = pd.Series(head.targets, dtype="Int64").where(head.known)
    found = probabilities(head.logits)
    if found.shape[1] == 2:
        return frame.assign(pred=found[:, 1])
    return frame.assign(**{f"pred_{number}": found[:, number] for number in range(found.shape[1])})
