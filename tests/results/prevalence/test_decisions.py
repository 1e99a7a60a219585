from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shifting import make_predicted, make_splits

from seedfold.results.prevalence.costs import DECISION_METRICS, MetricSettings, confusion_matrix, decision_metrics
from seedfold.results.prevalence.decisions import best_thresholds, decision_rows, metric_curves, threshold_grid
from seedfold.results.prevalence.priors import PriorEstimator
from seedfold.results.prevalence.recalibrate import CALIBRATION_VARIANTS, softmax


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([np.float32, np.float64]), st.sampled_from([0.2, 1.0, 20.0]))
def test_thresholds_are_the_first_best_of_all(seed: int, precision: type, scale: float) -> None:
    random = np.random.default_rng(seed)
    known = make_predicted(random, random.integers(1, 40, 2).tolist(), scale)
    prior = random.dirichlet(np.ones(2))
    setting = MetricSettings(int(random.integers(2)), prior, prior[::-1])
    logits = known.logits.astype(precision)
    zero, found = softmax(logits)[:, 0], metric_curves(known.targets, logits, setting)
    brute = [
        decision_metrics(confusion_matrix(known.targets, (zero < t).astype(int), 2), setting) for t in threshold_grid()
    ]
    for name, place in best_thresholds(found).items():
        values = np.array([each[name] for each in brute])
        assert np.array_equal(values, found[name])
        best = values.min() if "ec" in name else values.max()
        assert place == int((values == best).argmax()) or name.startswith("nec")
        assert values[place] == pytest.approx(best)


def test_nothing_better_than_the_worst_leaves_the_threshold_at_zero() -> None:
    """Perfectly wrong: the F1 score of a class that is never found stays 0."""
    limits = threshold_grid()
    assert (len(limits), limits[0], limits[50], limits[100]) == (101, 0.0, 0.5, 1.0)
    flat = {name: np.zeros(101) for name in DECISION_METRICS} | {"ec": np.ones(101), "ec_exact": np.full(101, 2.0)}
    places = best_thresholds(flat)
    assert (places["accuracy"], places["f1_rarest"], places["ec"], places["nec_exact"]) == (0, 0, 0, 0)


def test_rules_of_a_deployment() -> None:
    task = make_splits(5, samples_per_class=150)
    deployment = task.deploy(7.0)
    rows = list(decision_rows(task, [deployment], PriorEstimator()))
    assert len(rows) == len(CALIBRATION_VARIANTS) * 3 * len(DECISION_METRICS)
    found = {(row["calibration"], row["priors"], row["rule"], row["metric"]): row for row in rows}
    for method, known in CALIBRATION_VARIANTS:
        for metric in DECISION_METRICS:
            rules = {rule: found[method, known, rule, metric] for rule in ("argmax", "dev_test", "app_test")}
            assert rules["argmax"]["threshold"] == 0.5
            # Thresholds for estimated prevalences need not be the best for those that are there.
            if not metric.endswith("estimated"):
                optimum, others = rules["app_test"]["value"], [rules[rule]["value"] for rule in ("argmax", "dev_test")]
                assert optimum <= min(others) if "ec" in metric else optimum >= max(others)
    costs = [found["none", "none", "dev_test", name]["value"] for name in ("ec", "ec_exact")]
    assert costs[1] < costs[0]
    sample = deployment.predicted
    right = (sample.probabilities[:, 0] >= 0.5) == (sample.targets == 0)
    assert found["none", "none", "argmax", "accuracy"]["value"] == pytest.approx(right.mean())
    thresholds_of = [found["affine", "exact", "dev_test", name]["threshold"] for name in ("ec_exact", "nec_exact")]
    assert thresholds_of[0] == thresholds_of[1]


def test_more_than_two_classes_have_no_threshold() -> None:
    task = make_splits(6, classes=3)
    assert not list(decision_rows(task, [task.deploy(1.0)], PriorEstimator()))


def test_no_number_has_no_threshold() -> None:
    task = make_splits(7)
    spoilt = task.dev_cal.logits.copy()
    spoilt[0] = np.nan
    broken = replace(task, dev_cal=replace(task.dev_cal, logits=spoilt))
    rows = [
        row for row in decision_rows(broken, [broken.deploy(2.0)], PriorEstimator()) if row["calibration"] != "none"
    ]
    assert np.isnan([row["value"] for row in rows]).all()
    assert np.isnan([row["threshold"] for row in rows if row["rule"] != "argmax"]).all()
