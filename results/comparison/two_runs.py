"""Compares two finished jobs: their metrics, their learning curves, and the packages that computed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seedfold.results.comparison.paired_samples import compare_predictions
from seedfold.results.comparison.pairs import Pair
from seedfold.results.evaluation.learning_curves import read_histories
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.predictions import find_predictions, read_footer
from seedfold.results.store.published import Result, load_result
from seedfold.results.tables.best_values import lower_is_better


@dataclass(frozen=True, slots=True)
class CurveDifference:
    """A column of both histories: for each job the number of epochs, the last value, the best value and its epoch."""

    column: str
    epochs: tuple[int, int]
    last: tuple[float, float]
    best: tuple[float, float]
    best_epoch: tuple[int, int]


def metric_rows(
    first: FinishedJob, second: FinishedJob, splits: Sequence[str], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one row per metric that both jobs have, in the form of `PairedMetric.to_dict`.

    If both predicted the same samples, accuracy and area under the ROC curve have a test over these samples, and ``n``
    counts them; other metrics have no test. Raises UsageError if the jobs hold different samples or targets.
    """
    tests = {(each.split, each.head, each.metric): each for each in reversed(_tests(first, second, splits))}
    mine, other = _values(first), _values(second)
    rows = []
    for key in (key for key in mine if key in other):
        split, head, metric = key
        if (splits and split not in splits) or (metrics and metric not in metrics):
            continue
        if key in tests:
            rows.append(tests[key].to_dict(first.short_id, second.short_id, {}))
            continue
        a, b = mine[key], other[key]
        rows.append(
            {
                **{"metric": metric, "a": first.short_id, "b": second.short_id, "n": 1},
                "difference": None if a is None or b is None else b - a,
                **dict.fromkeys(("low", "high", "p", "p_adjusted", "test")),
                **{"folds": 1, "mean_a": a, "mean_b": b, "split": split, "head": head, "axes": {}},
            }
        )
    return rows


def _tests(first: FinishedJob, second: FinishedJob, splits: Sequence[str]) -> list[Any]:
    """Return the tests of the splits on which both hold the same samples."""
    files = [find_predictions(run.folder) for run in (first, second)]
    same = [
        split
        for split in files[0]
        if split in files[1] and len({read_footer(found[split]).samples_digest for found in files}) == 1
    ]
    chosen = [split for split in same if not splits or split in splits]
    return compare_predictions([Pair(first, second, {})], chosen) if chosen else []


def _values(run: FinishedJob) -> dict[tuple[str, str, str], float | None]:
    return {(each["split"], each["head"], each["metric"]): each["value"] for each in load_result(run.folder).metrics}


def curve_differences(first: FinishedJob, second: FinishedJob) -> list[CurveDifference]:
    """Compare the columns that both histories have; of a loss the lowest value is the best, of others the highest.

    Columns that are not results, such as the learning rate, are left out.
    """
    mine, other = read_histories([first]), read_histories([second])
    shared = [name for name in map(str, mine) if name in other and "/" in name]
    found = []
    for name in shared:
        both = [table[["epoch", name]].dropna() for table in (mine, other)]
        if all(len(table) for table in both):
            found.append(_curve(name, both))
    return found


def _curve(name: str, both: Sequence[Any]) -> CurveDifference:
    lower = lower_is_better(name)
    places = [int((table[name] if lower else -table[name]).to_numpy().argmin()) for table in both]
    pairs = list(zip(both, places, strict=True))
    return CurveDifference(
        name,
        epochs=(len(both[0]), len(both[1])),
        last=(float(both[0][name].iloc[-1]), float(both[1][name].iloc[-1])),
        best=(float(pairs[0][0][name].iloc[places[0]]), float(pairs[1][0][name].iloc[places[1]])),
        best_epoch=(int(both[0]["epoch"].iloc[places[0]]), int(both[1]["epoch"].iloc[places[1]])),
    )


def packages_of(run: FinishedJob, result: Result) -> dict[str, str]:
    """Return the versions of Python and of the packages that computed a result, as far as they were recorded."""
    recorded: dict[str, str] = {}
    for file in find_predictions(run.folder).values():
        recorded |= read_footer(file).versions
    if "python" in result.provenance:
        recorded["python"] = str(result.provenance["python"])
    return recorded
