"""How far the best setting of a study is ahead of the next one, and whether chance can explain that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seedfold.jobs.conditions import are_equal
from seedfold.jobs.errors import UsageError, count_noun
from seedfold.results.evaluation.axes import axis_names, format_axes
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.tables.best_values import lower_is_better

if TYPE_CHECKING:
    import pandas as pd

    from seedfold.results.comparison.paired_metrics import PairedMetric

_SETTING = "setting"


def lead_line(frame: pd.DataFrame, runs: Sequence[FinishedJob], metric: str) -> str | None:
    """Return a sentence on the two best rows of a table of means; None if it has not two rows that can be compared.

    ``frame`` is the result of `seedfold.results.tables.result_tables.metric_means` of the ``runs``. The two are
    compared over pairs of jobs that differ in nothing else, as `seedfold compare` does.
    """
    rows = frame[(frame["metric"] == metric) & frame["mean"].notna()] if "mean" in frame.columns else frame[:0]
    if len(rows) < 2:
        return None
    rows = rows.sort_values("mean", ascending=bool(lower_is_better(metric)), kind="stable")
    first = rows.iloc[0]
    peers = rows[
        (rows["stage"] == first["stage"]) & (rows["split"] == first["split"]) & (rows["head"] == first["head"])
    ]
    if len(peers) < 2:
        return None
    axes = [name for name in axis_names(runs) if name in frame.columns]
    averaged = [name for name in axis_names(runs) if name not in axes]
    best, next_one = ({name: row[name] for name in axes} for _, row in peers.head(2).iterrows())
    differing = [name for name in axes if not are_equal(best[name], next_one[name])]
    place = " ".join(f"{key}={first[key]}" for key in ("stage", "split", "head") if rows[key].nunique() > 1)
    names = format_axes(best), format_axes({name: next_one[name] for name in differing})
    found = _compare(runs, [best, next_one], averaged, metric, first)
    text = f"best {metric}{place and f' ({place})'}: {names[0]}, before {names[1]}"
    return f"{text}: {_certainty(found)}" if found and found.difference is not None else text


def _compare(
    runs: Sequence[FinishedJob], settings: Sequence[Mapping[str, Any]], averaged: Sequence[str], metric: str, row: Any
) -> PairedMetric | None:
    from seedfold.results.comparison.paired_metrics import compare_values

    chosen = []
    for number, setting in enumerate(settings):
        for run in runs:
            if run.stage == row["stage"] and all(
                _is_same(run.axes.get(name), value) for name, value in setting.items()
            ):
                axes = {name: value for name, value in run.axes.items() if name in averaged}
                chosen.append(replace(run, axes={_SETTING: number, **axes}))
    where = f"split={row['split']!r} head={row['head']!r}"
    try:
        [found] = compare_values(chosen, _SETTING, metrics=[metric], where=where)
    except (UsageError, ValueError):
        # No two jobs differ in nothing but the setting: there is no difference to tell of.
        return None
    return found


def _is_same(value: Any, cell: Any) -> bool:
    """Whether a cell of the table is a job's value of an axis; an axis that a job lacks is an empty cell."""
    return bool(cell != cell or cell is None) if value is None else are_equal(value, cell)


def _certainty(found: PairedMetric) -> str:
    assert found.difference is not None
    pairs = count_noun(found.n, "pair")
    if found.low is None or found.high is None or found.p is None:
        return f"a difference of {abs(found.difference):.4f} over {pairs}, too few to say more"
    # The second minus the first: the bounds change places with their signs.
    low, high = sorted((-found.low, -found.high)) if found.difference < 0 else (found.low, found.high)
    return (
        f"a difference of {abs(found.difference):.4f} (95 % interval {low:.4f} … {high:.4f}, p {found.p:.2g},"
        f" {found.test}) over {pairs}"
    )
