"""Rows of comparisons: what is averaged, what is tested, and what is left out and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from seedfold.jobs.errors import UsageError
from seedfold.results.comparison.paired_metrics import CORRECTED_T, SIGNED_RANK, PairedMetric, compare_values, to_frame
from seedfold.results.comparison.paired_samples import BOOTSTRAP, DELONG, MCNEMAR, compare_predictions, compare_samples
from seedfold.results.comparison.paired_tests import corrected_t_p, holm
from seedfold.results.comparison.pairs import Pair, find_comparisons
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import auroc, probabilities
from seedfold.results.store.predictions import find_predictions, read_heads
from seedfold.results.store.published import load_result

Make = Callable[..., FinishedJob]
MakeMany = Callable[..., list[FinishedJob]]
METRIC = ("metric", "a", "b", "n", "difference", "low", "high", "p", "p_adjusted", "test")


def value(run: FinishedJob, split: str, metric: str) -> float:
    [found] = [
        each["value"] for each in load_result(run.folder).metrics if (each["split"], each["metric"]) == (split, metric)
    ]
    assert found is not None
    return found


def row(rows: list[PairedMetric], metric: str, split: str = "val") -> PairedMetric:
    [found] = [each for each in rows if (each.metric, each.split) == (metric, split)]
    return found


def measured(make_run: Make, tmp_path: Path, axes: dict[str, Any], **metrics: float | None) -> FinishedJob:
    """A run without predictions that left these metrics."""
    made = make_run(axes)
    result = json.loads((made.folder / "result.json").read_text())
    result["metrics"] = [
        {"split": "val", "head": "main", "metric": name, "value": number} for name, number in metrics.items()
    ]
    (made.folder / "result.json").write_text(json.dumps(result))
    return made


def test_folds_are_tested_by_the_corrected_test_once_for_each_division(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(seeds=(0, 1), folds=3, loss=("ce", "focal"))
    found = row(compare_values(runs, "loss"), "log_loss")
    values = {
        (each.axes["loss"], each.axes["seed"], each.axes["fold"]): value(each, "val", "log_loss") for each in runs
    }
    by_fold = [
        np.mean([values["focal", seed, fold] - values["ce", seed, fold] for seed in (0, 1)]) for fold in (0, 1, 2)
    ]
    assert (found.n, found.comparison.expected, found.test) == (6, 6, CORRECTED_T)
    assert found.differences == pytest.approx(by_fold, abs=1e-12)
    assert found.difference == pytest.approx(np.mean(by_fold), abs=1e-12)
    assert found.p == pytest.approx(corrected_t_p(np.array(by_fold), 1 / 2), rel=1e-12)
    assert found.mean_b is not None
    assert found.mean_a is not None
    assert found.mean_b - found.mean_a == pytest.approx(found.difference, abs=1e-12)


def test_seeds_alone_are_tested_by_signed_ranks(make_run: Make, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=8), draw.normal(1.0, size=8)
    runs = [
        measured(make_run, tmp_path, {"loss": loss, "seed": seed}, gain=float(numbers[seed]))
        for loss, numbers in (("ce", first), ("focal", second))
        for seed in range(8)
    ]
    [found] = compare_values(runs, "loss")
    assert found.test == SIGNED_RANK
    assert found.p == pytest.approx(stats.wilcoxon(second - first).pvalue, abs=1e-12)
    assert found.difference == pytest.approx((second - first).mean(), abs=1e-12)
    assert compare_values(runs, "loss") == [found]


def test_p_is_corrected_over_the_metrics_of_a_split(make_cross_validation: MakeMany) -> None:
    rows = compare_values(make_cross_validation(loss=("ce", "focal")), "loss")
    for split in ("val", "test"):
        own = [each for each in rows if each.split == split]
        assert len(own) == 7
        assert [each.p_adjusted for each in own] == holm([each.p for each in own])
    [alone] = compare_values(make_cross_validation_again(rows), "loss", metrics=["auroc"], where="split=val")
    assert alone.p_adjusted == alone.p


def make_cross_validation_again(rows: list[PairedMetric]) -> list[FinishedJob]:
    """The runs behind rows."""
    return list({run.id: run for each in rows for pair in each.comparison.pairs for run in pair.runs}.values())


def test_what_is_undefined_lowers_n_and_is_named(make_run: Make, tmp_path: Path) -> None:
    runs = [
        measured(make_run, tmp_path, {"loss": loss, "seed": seed}, gain=None if (loss, seed) == ("focal", 2) else seed)
        for loss in ("ce", "focal")
        for seed in range(4)
    ]
    runs[1] = measured(make_run, tmp_path, {"loss": "ce", "seed": 1, "again": 1}, gain=float("nan"))
    runs[1] = replace(runs[1], axes={"loss": "ce", "seed": 1})
    [found] = compare_values(runs, "loss")
    assert (found.n, found.comparison.expected) == (2, 4)
    assert found.notes == ("seed=1: gain of ce is not defined", "seed=2: gain of focal is not defined")


def test_one_pair_tells_nothing(make_run: Make, tmp_path: Path) -> None:
    runs = [
        measured(make_run, tmp_path, {"loss": loss, "seed": 0}, gain=gain) for loss, gain in (("a", 1.0), ("b", 3.0))
    ]
    [found] = compare_values(runs, "loss")
    assert (found.n, found.difference) == (1, 2.0)
    assert (found.low, found.high, found.p, found.p_adjusted) == (None, None, None, None)


def test_jobs_of_other_samples_are_no_pair(make_run: Make) -> None:
    targets = np.array([0, 1, 0, 1])
    runs = [
        make_run(
            {"loss": loss, "seed": 0},
            {"val": ([f"{loss[0]}{i}" for i in range(4)], targets, {"main": np.eye(2)[targets]})},
        )
        for loss in ("ce", "focal")
    ]
    found = row(compare_values(runs, "loss"), "accuracy")
    assert found.n == 0
    assert found.difference is None
    assert found.notes == ("seed=0: split val has other samples in one of both",)


def test_scripts_are_told_the_same_in_every_form(make_cross_validation: MakeMany) -> None:
    rows = compare_values(make_cross_validation(loss=("ce", "focal"), ratio=(1, 10)), "loss", metrics=["accuracy"])
    told = [each.to_dict() for each in rows]
    assert tuple(told[0])[: len(METRIC)] == METRIC
    assert json.loads(json.dumps(told)) == told
    frame = to_frame(told)
    assert list(frame["ratio"]) == [1, 1, 10, 10]
    assert "axes" not in frame


def test_an_unknown_metric_is_refused(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(loss=("ce", "focal"))
    with pytest.raises(
        UsageError, match=r"--metric acuracy: no pair of jobs has this metric \(did you mean 'accuracy'"
    ):
        compare_values(runs, "loss", metrics=["acuracy"])
    with pytest.raises(UsageError, match="no such axis"):
        compare_values(runs, "los")


def two_models(make_run: Make, folds: int = 3) -> list[FinishedJob]:
    """Two models of two classes over folds, and on test samples that all folds share."""
    draw = np.random.default_rng(1)
    truth = np.arange(90) // folds % 2
    runs = []
    for model, noise in (("good", 0.4), ("poor", 3.0)):
        for fold in range(folds):
            rows = np.arange(fold, 90, folds)
            logits = {"main": (truth[rows] + draw.normal(scale=noise, size=len(rows)))[:, None] - 0.5}
            test = {"main": (np.arange(20) % 2 + draw.normal(scale=noise, size=20))[:, None] - 0.5}
            splits = {
                "val": ([f"s{i}" for i in rows], truth[rows], logits),
                "test": ([f"t{i}" for i in range(20)], np.arange(20) % 2, test),
            }
            runs.append(make_run({"model": model, "fold": fold}, splits))
    return runs


def test_validation_folds_are_tested_together_and_shared_test_samples_fold_by_fold(make_run: Make) -> None:
    comparisons = find_comparisons(two_models(make_run), "model")
    told = compare_samples(comparisons)
    assert [(each["test"], each["n"], each["folds"]) for each in told if each["split"] == "val"] == [
        (MCNEMAR, 90, 3),
        (DELONG, 90, 3),
        (BOOTSTRAP, 90, 3),
    ]
    assert [each["axes"] for each in told if (each["split"], each["test"]) == ("test", DELONG)] == [
        {"fold": fold} for fold in range(3)
    ]
    assert tuple(told[0])[: len(METRIC)] == METRIC


def test_areas_are_means_of_folds(make_run: Make) -> None:
    [comparison] = find_comparisons(two_models(make_run), "model")
    found = {each.test: each for each in compare_predictions(comparison.pairs, ["val"])}
    for name in (DELONG, BOOTSTRAP):
        for side, column in ((0, found[name].mean_a), (1, found[name].mean_b)):
            areas = [value(pair.runs[side], "val", "auroc") for pair in comparison.pairs]
            assert column == pytest.approx(np.mean(areas), abs=1e-12)
    assert found[MCNEMAR].p_adjusted == holm([found[MCNEMAR].p, found[DELONG].p])[0]
    assert found[DELONG].mean_b < found[DELONG].mean_a
    assert found[DELONG].high < 0


def test_the_order_of_samples_does_not_count(make_run: Make) -> None:
    draw, truth = np.random.default_rng(4), np.arange(40) % 2
    logits = draw.normal(size=(2, 40, 2)) + np.eye(2)[truth]
    ids = np.array([f"s{i}" for i in range(40)])
    order = draw.permutation(40)
    first = make_run({"model": "a"}, {"val": (list(ids), truth, {"main": logits[0]})})
    second = make_run({"model": "b"}, {"val": (list(ids), truth, {"main": logits[1]})})
    shuffled = make_run({"model": "c"}, {"val": (list(ids[order]), truth[order], {"main": logits[1][order]})})
    assert compare_predictions([Pair(first, second, {})]) == compare_predictions([Pair(first, shuffled, {})])
    [head] = read_heads(find_predictions(second.folder)["val"])
    area = auroc(head.targets == 1, probabilities(head.logits)[:, 1])
    assert compare_predictions([Pair(first, second, {})])[1].mean_b == pytest.approx(area, abs=1e-12)


def test_other_samples_and_other_targets_are_refused(make_run: Make) -> None:
    truth = np.arange(10) % 2
    ids = [f"s{i}" for i in range(10)]
    first, other, flipped = (
        make_run({"model": name}, {"val": (names, targets, {"main": np.eye(2)[targets]})})
        for name, names, targets in (("a", ids, truth), ("b", [*ids[:-1], "new"], truth), ("c", ids, 1 - truth))
    )
    with pytest.raises(UsageError, match="different samples"):
        compare_predictions([Pair(first, other, {})])
    with pytest.raises(UsageError, match="targets of the same samples differ"):
        compare_predictions([Pair(first, flipped, {})])
