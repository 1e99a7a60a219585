"""The metrics of pairs of jobs: how much the second is above the first, and whether chance can explain it.

If jobs have several folds, the test is the corrected resampled t-test, because the training sets of the folds overlap;
otherwise it is Wilcoxon's signed rank test. Seeds that train and validate on the same samples are no further evidence
about other samples: their differences are averaged within each fold before anything is tested. p values are corrected
by Holm's method over all metrics of one head and split, and all pairs of values, in one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seedfold.jobs.conditions import Term
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.comparison.paired_tests import corrected_t_p, holm, mean_interval, signed_rank_p
from seedfold.results.comparison.pairs import Comparison, Pair, find_comparisons, select_places
from seedfold.results.evaluation.axes import Selection, address_key, format_axes, format_value, make_column, select_runs
from seedfold.results.evaluation.metric_names import is_name_of
from seedfold.results.store.finished_job import Addressed, FinishedJob
from seedfold.results.store.predictions import find_predictions, read_footer
from seedfold.results.store.published import load_result

if TYPE_CHECKING:
    import pandas as pd

CORRECTED_T = "corrected resampled t"
SIGNED_RANK = "Wilcoxon signed rank"
ROW_COLUMNS = ("split", "head", "metric")
_VALIDATION = "val"

Array = npt.NDArray[Any]
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class PairedMetric:
    """One metric of two values of an axis: ``difference`` is the mean of b minus a over ``n`` of ``expected`` pairs.

    ``differences`` has one number for each division into training and test samples, or for each pair if jobs do
    not have several folds. ``low`` and ``high`` are the bootstrap interval (95 %) of their mean, ``p`` is that of
    ``test``, and ``p_signed_rank`` that of Wilcoxon's test. Values that are not defined are None.
    """

    comparison: Comparison
    split: str
    head: str
    metric: str
    n: int
    mean_a: float | None
    mean_b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    test: str
    p_signed_rank: float | None
    differences: tuple[float, ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    p_adjusted: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the form that scripts read; the axes that both values share are under ``axes``."""
        own = self.comparison
        return {
            "metric": self.metric,
            "a": own.a,
            "b": own.b,
            "n": self.n,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "test": self.test,
            "expected": own.expected,
            "independent": len(self.differences),
            "mean_a": self.mean_a,
            "mean_b": self.mean_b,
            "p_signed_rank": self.p_signed_rank,
            "over": own.over,
            "split": self.split,
            "head": self.head,
            "stage": own.stage,
            "axes": dict(own.axes),
        }


def compare_values(
    runs: Sequence[FinishedJob],
    over: str,
    *,
    planned: Sequence[Addressed] | None = None,
    metrics: Sequence[str] = (),
    where: Selection = None,
) -> list[PairedMetric]:
    """Compare each two values of the axis ``over`` in every metric, or in ``metrics``.

    ``where`` selects jobs by their axes, and rows by ``split``, ``head`` and ``metric``. Raises UsageError for an
    unknown axis or metric, and if no jobs can be paired.
    """
    chosen, terms = select_runs(runs, where, ROW_COLUMNS)
    wanted = None if planned is None else select_places(planned, where)
    found = [row for each in find_comparisons(chosen, over, wanted) for row in _compare(each, terms)]
    return adjust(_only(found, metrics))


def compare_metric(comparison: Comparison, split: str, head: str, metric: str) -> PairedMetric:
    """Compare the pairs of one comparison in one metric. There is but one test: its p value is not adjusted."""
    values = {run.id: _metrics(run) for pair in comparison.pairs for run in pair.runs}
    return _paired(comparison, (split, head, metric), values)


def _only(rows: Sequence[PairedMetric], metrics: Sequence[str]) -> list[PairedMetric]:
    for name in metrics:
        if not any(is_name_of(name, row.metric, row.split, row.head) for row in rows):
            known = list(dict.fromkeys(row.metric for row in rows))
            listed = ", ".join(known) or "none"
            raise UsageError(
                f"--metric {name}: no pair of jobs has this metric{did_you_mean(name, known)}; metrics: {listed}"
            )
    return [
        row for row in rows if not metrics or any(is_name_of(name, row.metric, row.split, row.head) for name in metrics)
    ]


def _compare(comparison: Comparison, terms: Iterable[Term]) -> list[PairedMetric]:
    values = {run.id: _metrics(run) for pair in comparison.pairs for run in (pair.first, pair.second)}
    keys = dict.fromkeys(key for found in values.values() for key in found)
    rows = []
    for key in keys:
        told = dict(zip(ROW_COLUMNS, key, strict=True))
        if all(term.holds(told[term.key]) for term in terms):
            rows.append(_paired(comparison, key, values))
    return rows


def _metrics(run: FinishedJob) -> dict[_Key, float | None]:
    return {(each["split"], each["head"], each["metric"]): each["value"] for each in load_result(run.folder).metrics}


def _paired(comparison: Comparison, key: _Key, values: Mapping[str, Mapping[_Key, float | None]]) -> PairedMetric:
    rows: list[tuple[Pair, float, float]] = []
    notes = []
    for pair in comparison.pairs:
        first, second = values[pair.first.id].get(key), values[pair.second.id].get(key)
        place = format_axes(pair.axes) or comparison.stage
        if _is_missing(first) or _is_missing(second):
            which = [comparison.a] * _is_missing(first) + [comparison.b] * _is_missing(second)
            notes.append(f"{place}: {key[2]} of {' and '.join(map(format_value, which))} is not defined")
        elif _samples(pair.first, key[0]) != _samples(pair.second, key[0]):
            notes.append(f"{place}: split {key[0]} has other samples in one of both")
        else:
            assert first is not None
            assert second is not None
            rows.append((pair, first, second))
    means = _independent(comparison, rows)
    differences = means[:, 1] - means[:, 0]
    interval = mean_interval(differences)
    ratio = _test_to_train(comparison)
    signed_rank = signed_rank_p(differences)
    return PairedMetric(
        comparison,
        *key,
        n=len(rows),
        mean_a=float(means[:, 0].mean()) if rows else None,
        mean_b=float(means[:, 1].mean()) if rows else None,
        difference=float(differences.mean()) if rows else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        p=signed_rank if ratio is None else corrected_t_p(differences, ratio),
        test=SIGNED_RANK if ratio is None else CORRECTED_T,
        p_signed_rank=signed_rank,
        differences=tuple(differences.tolist()),
        notes=tuple(notes),
    )


def _is_missing(value: float | None) -> bool:
    return value is None or not np.isfinite(value)


def _independent(comparison: Comparison, rows: Sequence[tuple[Pair, float, float]]) -> Array:
    """Return both values (m, 2) for each division into training and test samples; for each pair without folds."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for pair, first, second in rows:
        place = format_axes(pair.axes)
        if comparison.fold is not None:
            fold = format_value(pair.axes[comparison.fold])
            place = f"{fold} {_samples(pair.first, _VALIDATION)} {_division(comparison, pair)}"
        groups.setdefault(place, []).append((first, second))
    return np.array([np.mean(found, axis=0) for found in groups.values()]).reshape(-1, 2)


def _division(comparison: Comparison, pair: Pair) -> str:
    """Return the seeds that divide the samples; they are recognised by their names."""
    told = [name for name in pair.axes if name != comparison.fold and ("fold" in name or "split" in name)]
    return format_axes({name: pair.axes[name] for name in told})


def _test_to_train(comparison: Comparison) -> float | None:
    """Return 1/(k - 1) for k folds; None if jobs do not have several folds."""
    if comparison.fold is None or comparison.folds is None or comparison.folds < 2:
        return None
    return 1 / (comparison.folds - 1)


def _samples(run: FinishedJob, split: str) -> str | None:
    return _samples_digest(run.folder, split)


@lru_cache(maxsize=65536)
def _samples_digest(folder: Path, split: str) -> str | None:
    """Return the digest of the samples that were predicted; None if no predictions are kept."""
    file = find_predictions(folder).get(split)
    return None if file is None else read_footer(file).samples_digest


def adjust(rows: Sequence[PairedMetric]) -> list[PairedMetric]:
    """Fill in ``p_adjusted`` by Holm's method, over the metrics of one head and split and all pairs of values."""
    families: dict[tuple[str, str, str], list[int]] = {}
    for at, row in enumerate(rows):
        block = address_key(row.comparison.stage, row.comparison.axes)
        families.setdefault((block, row.split, row.head), []).append(at)
    adjusted: dict[int, float | None] = {}
    for places in families.values():
        adjusted.update(zip(places, holm([rows[at].p for at in places]), strict=True))
    return [replace(row, p_adjusted=adjusted[at]) for at, row in enumerate(rows)]


def to_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table, with a column for each shared axis in place of ``axes``."""
    import pandas as pd

    names = list(dict.fromkeys(name for row in rows for name in row if name != "axes"))
    axes = list(dict.fromkeys(name for row in rows for name in row["axes"]))
    columns = {name: _typed(name, [row.get(name) for row in rows]) for name in names}
    for name in axes:
        shown = f"axis {name}" if name in columns else name
        columns[shown] = make_column([row["axes"].get(name) for row in rows])
    return pd.DataFrame(columns)


_NUMBERS = frozenset({"difference", "low", "high", "p", "p_adjusted", "mean_a", "mean_b", "p_signed_rank"})


def _typed(name: str, values: Sequence[Any]) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series(values, dtype="float64") if name in _NUMBERS else make_column(values)
