"""Tests two models sample by sample, from the predictions that their jobs kept.

McNemar's test compares accuracies; DeLong's test and a paired bootstrap compare areas under the ROC curve. If the jobs
of several folds hold different samples, as validation folds do, they are tested together: samples are counted together
for accuracy, and areas are computed within each fold and averaged. Such a test says whether these fitted models would
differ on other samples; pairs of jobs tell whether models that are trained again differ as well
(`seedfold.results.comparison.paired_metrics`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from seedfold.jobs.errors import UsageError
from seedfold.results.comparison.delong import compare_areas
from seedfold.results.comparison.paired_tests import holm
from seedfold.results.comparison.pairs import Comparison, Pair
from seedfold.results.comparison.resampled_areas import Fold, resample_areas
from seedfold.results.comparison.same_samples import Agreement, accuracy_interval, mcnemar_p
from seedfold.results.evaluation.axes import address_key, without_axes
from seedfold.results.evaluation.query import split_files
from seedfold.results.store.metrics import probabilities
from seedfold.results.store.predictions import HeadPredictions, read_heads

Array = npt.NDArray[Any]
MCNEMAR, DELONG, BOOTSTRAP = "McNemar exact", "DeLong", "paired bootstrap"
ACCURACY, AUROC = "accuracy", "auroc"
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class SampleTest:
    """One test on ``n`` samples of ``folds`` pairs of jobs; ``low`` and ``high`` (95 %) are of b minus a.

    If a pair was tested alone, ``axes`` distinguish it from other pairs that hold the same samples.
    """

    metric: str
    test: str
    split: str
    head: str
    n: int
    folds: int
    mean_a: float
    mean_b: float
    low: float
    high: float
    p: float | None
    p_adjusted: float | None = None
    axes: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self, a: Any, b: Any, shared: Mapping[str, Any]) -> dict[str, Any]:
        """Return the form that scripts read; ``shared`` are the axes that both models have."""
        return {
            "metric": self.metric,
            "a": a,
            "b": b,
            "n": self.n,
            "difference": self.mean_b - self.mean_a,
            "low": self.low,
            "high": self.high,
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "test": self.test,
            "folds": self.folds,
            "mean_a": self.mean_a,
            "mean_b": self.mean_b,
            "split": self.split,
            "head": self.head,
            "axes": {**shared, **self.axes},
        }


@dataclass(frozen=True)
class _Samples:
    """One head's rows of a pair of models on the same samples, those with a known target."""

    pair: Pair
    ids: Any
    targets: Array
    first: Array
    second: Array

    @cached_property
    def agreement(self) -> Agreement:
        return Agreement.of(self.first.argmax(axis=1) == self.targets, self.second.argmax(axis=1) == self.targets)

    @property
    def fold(self) -> Fold:
        wide = self.first.shape[1] > _FEWEST
        first, second = (self.first, self.second) if wide else (self.first[:, 1:], self.second[:, 1:])
        return Fold(self.targets, first, second)

    @property
    def right(self) -> tuple[int, int]:
        """Return for how many samples each model is right."""
        found = (self.first, self.second)
        first, second = (int((scores.argmax(axis=1) == self.targets).sum()) for scores in found)
        return first, second


def compare_predictions(pairs: Sequence[Pair], splits: Sequence[str] = ()) -> list[SampleTest]:
    """Test two models, each of one job or of a job for each fold, on every split and head that all jobs have.

    Raises UsageError if two jobs hold different samples, or different targets of the same samples.
    """
    files = {(each.run.id, each.split): each.path for pair in pairs for each in split_files([pair.first, pair.second])}
    runs = [run for pair in pairs for run in (pair.first, pair.second)]
    common = dict.fromkeys(split for _, split in files if all((run.id, split) in files for run in runs))
    found = []
    for split in common:
        if splits and split not in splits:
            continue
        heads = {run.id: {head.head: head for head in read_heads(files[run.id, split])} for run in runs}
        for head in heads[runs[0].id]:
            if all(head in heads[run.id] for run in runs) and not heads[runs[0].id][head].is_regression:
                both = [(pair, heads[pair.first.id][head], heads[pair.second.id][head]) for pair in pairs]
                found += _test_head([_align(*each) for each in both], split, head)
    return found


def _align(pair: Pair, first: HeadPredictions, second: HeadPredictions) -> _Samples:
    who = f"jobs {pair.first.short_id} and {pair.second.short_id}"
    order = _order(first, second, who)
    known = first.known
    if not np.array_equal(first.targets[known], second.targets[order][known]):
        raise UsageError(f"{who}: head {first.head!r}: targets of the same samples differ; compare jobs of one task")
    return _Samples(
        pair,
        first.ids.filter(known),
        first.targets[known],
        probabilities(first.logits[known]),
        probabilities(second.logits[order][known]),
    )


def _order(first: HeadPredictions, second: HeadPredictions, who: str) -> Any:
    """Return the positions of the first model's samples among those of the second."""
    import pandas as pd

    if first.ids.equals(second.ids):
        return slice(None)
    order = pd.Index(second.sample_ids).get_indexer(pd.Index(first.sample_ids))
    if len(first.ids) != len(second.ids) or (order < 0).any():
        raise UsageError(f"{who}: head {first.head!r}: they hold different samples; compare jobs of one split")
    return order


def _test_head(parts: Sequence[_Samples], split: str, head: str) -> list[SampleTest]:
    """Test folds together if they predict different samples, and one by one if they predict the same samples."""
    import pyarrow as pa

    parts = [part for part in parts if part.targets.size]
    if not parts:
        return []
    ids = pa.chunked_array([part.ids for part in parts])
    if pc.count_distinct(ids).as_py() != len(ids):
        return [replace(test, axes=part.pair.axes) for part in parts for test in _tests([part], split, head)]
    return _tests(parts, split, head)


def _tests(parts: Sequence[_Samples], split: str, head: str) -> list[SampleTest]:
    of_accuracy = _accuracy(parts, split, head)
    of_areas = list(_areas(parts, split, head))
    pairs = [holm([of_accuracy.p, each.p]) for each in of_areas]
    adjusted = pairs[0][0] if pairs else of_accuracy.p
    found = [replace(of_accuracy, p_adjusted=adjusted)]
    return [*found, *(replace(each, p_adjusted=both[1]) for each, both in zip(of_areas, pairs, strict=True))]


def _accuracy(parts: Sequence[_Samples], split: str, head: str) -> SampleTest:
    counts = [part.agreement for part in parts]
    samples = sum(each.samples for each in counts)
    right = np.sum([part.right for part in parts], axis=0) / samples
    low, high = accuracy_interval(counts)
    p = mcnemar_p(sum(each.only_first for each in counts), sum(each.only_second for each in counts))
    shared = (split, head, samples, len(parts), float(right[0]), float(right[1]))
    return SampleTest(ACCURACY, MCNEMAR, *shared, low, high, p)


def _areas(parts: Sequence[_Samples], split: str, head: str) -> Iterator[SampleTest]:
    """Yield DeLong's test if there are two classes, and the bootstrap; nothing if a fold lacks a class."""
    folds = [part.fold for part in parts]
    if not all(fold.is_ranked for fold in folds):
        return
    drawn = resample_areas(folds)
    samples = sum(part.targets.size for part in parts)
    shared = (split, head, samples, len(parts), drawn.first, drawn.second)
    two_classes = folds[0].first.shape[1] == 1
    if two_classes and all(np.bincount(fold.targets, minlength=2).min() >= _FEWEST for fold in folds):
        scores = [(fold.targets == 1, np.stack([fold.first[:, 0], fold.second[:, 0]])) for fold in folds]
        found = compare_areas(scores)
        yield SampleTest(AUROC, DELONG, *shared, found.low, found.high, found.p)
    yield SampleTest(AUROC, BOOTSTRAP, *shared, drawn.low, drawn.high, drawn.p)


def compare_samples(comparisons: Sequence[Comparison], splits: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of all tests of comparisons, a block for each seed.

    Raises UsageError as `compare_predictions` does.
    """
    rows = []
    for comparison in comparisons:
        for pairs, shared in _by_seed(comparison):
            for test in compare_predictions(pairs, splits):
                rows.append(test.to_dict(comparison.a, comparison.b, {**comparison.axes, **shared}))
                rows[-1] |= {"over": comparison.over, "stage": comparison.stage}
    return rows


def _by_seed(comparison: Comparison) -> Iterator[tuple[list[Pair], dict[str, Any]]]:
    groups: dict[str, list[Pair]] = {}
    for pair in comparison.pairs:
        groups.setdefault(address_key("", without_axes(pair.axes, comparison.fold_axes)), []).append(pair)
    for pairs in groups.values():
        yield pairs, without_axes(pairs[0].axes, comparison.fold_axes)
