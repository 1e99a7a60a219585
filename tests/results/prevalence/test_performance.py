from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shifting import make_predicted, make_splits
from sklearn import metrics as sk
from torchmetrics.functional import classification as tm

from seedfold.results.prevalence.costs import (
    DECISION_METRICS,
    MetricSettings,
    confusion_matrix,
    decision_metrics,
    expected_cost,
    rarest_class,
)
from seedfold.results.prevalence.performance import performance_rows, score_logits
from seedfold.results.prevalence.priors import PriorEstimator
from seedfold.results.prevalence.recalibrate import CALIBRATION_VARIANTS

SEEDS = st.integers(0, 10_000)


@settings(max_examples=12, deadline=None)
@given(SEEDS, st.sampled_from([2, 3, 23]))
def test_metrics_agree_with_scikit_learn_and_torchmetrics(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    known = make_predicted(random, random.integers(2, 30, classes).tolist())
    prior, number = random.dirichlet(np.ones(classes)), int(random.integers(classes))
    found = score_logits(
        known.targets, known.logits, MetricSettings(number, prior, known.class_counts / len(known.targets))
    )
    recalls = sk.recall_score(known.targets, known.labels, average=None, labels=np.arange(classes), zero_division=0)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(known.targets, known.labels))
    assert found["balanced_accuracy"] == pytest.approx(recalls.mean())
    each = sk.f1_score(known.targets, known.labels, average=None, labels=np.arange(classes), zero_division=0)
    assert found["f1_rarest"] == pytest.approx(each[number])
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(known.targets, known.labels))
    truth, p = torch.from_numpy(known.targets), torch.from_numpy(known.probabilities)
    assert found["auroc"] == pytest.approx(float(tm.multiclass_auroc(p, truth, classes)), abs=1e-6)
    assert found["ec"] == found["ec_estimated"] == pytest.approx(1 - found["accuracy"])
    weights = (prior / known.class_counts)[known.targets]
    assert found["ec_exact"] == pytest.approx(sk.zero_one_loss(known.targets, known.labels, sample_weight=weights))
    assert found["nec_exact"] == pytest.approx(found["ec_exact"] / (1 - prior.max()))


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 6))
def test_many_tables_at_once_are_each_as_alone_whatever_the_order_of_classes(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    tables, order = random.integers(0, 9, (4, classes, classes)) + 1, random.permutation(classes)
    prior = random.dirichlet(np.ones(classes))
    together = decision_metrics(tables, MetricSettings(0, prior, prior))
    moved = decision_metrics(
        tables[:, order][:, :, order], MetricSettings(int(np.argsort(order)[0]), prior[order], prior[order])
    )
    for name in DECISION_METRICS:
        assert np.array_equal(
            together[name], [decision_metrics(table, MetricSettings(0, prior, prior))[name] for table in tables]
        )
        assert np.allclose(together[name], moved[name], atol=1e-12)


def test_decisions_without_any_choice_cost_what_is_normalised_to_one() -> None:
    constant = confusion_matrix(np.repeat(np.arange(3), [5, 3, 2]), np.zeros(10, dtype=np.int64), 3)
    found = decision_metrics(constant, MetricSettings(2, np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])))
    assert (found["nec"], found["nec_exact"]) == pytest.approx((1.0, 1.0))
    assert found["nec_estimated"] == pytest.approx(0.8 / 0.5)
    assert (found["mcc"], found["f1_rarest"], found["balanced_accuracy"]) == pytest.approx((0, 0, 1 / 3))
    perfect = decision_metrics(np.diag([5, 3, 2]), MetricSettings(2, np.full(3, 1 / 3), np.full(3, 1 / 3)))
    assert {name: float(value) for name, value in perfect.items()} == pytest.approx(
        {name: 0.0 if "ec" in name else 1.0 for name in DECISION_METRICS}
    )


def test_class_without_samples_leaves_undefined_what_asks_for_it() -> None:
    some = np.array([[3, 1, 0], [1, 4, 0], [0, 0, 0]])
    found = decision_metrics(some, MetricSettings(2, np.array([0.5, 0.5, 0.0]), np.full(3, 1 / 3)))
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert found["ec_exact"] == pytest.approx((1 / 4 + 1 / 5) / 2)
    assert np.isnan([found["ec_estimated"], found["nec_estimated"]]).all()
    assert found["ec"] == pytest.approx(2 / 9)
    assert np.isnan(
        score_logits(np.zeros(3, dtype=np.int64), np.eye(3), MetricSettings(2, np.ones(3), np.ones(3)))["auroc"]
    )


def test_rarest_class_is_the_first_of_several_and_class_1_of_a_balanced_task() -> None:
    assert [rarest_class(np.array(counts)) for counts in ([3, 2, 2], [1, 5], [4, 4, 4])] == [1, 0, 1]


def test_not_a_number_is_no_decision() -> None:
    spoilt = np.array([[0.0, 1.0], [np.nan, 1.0]])
    found = score_logits(np.array([0, 1]), spoilt, MetricSettings(0, np.full(2, 0.5), np.full(2, 0.5)))
    assert set(found) == {*DECISION_METRICS, "auroc"}
    assert np.isnan(list(found.values())).all()


def test_table_has_every_metric_under_every_calibration_of_both_splits() -> None:
    task = make_splits(3, classes=3)
    deployment = task.deploy(4.0)
    rows = list(performance_rows(task, [deployment], PriorEstimator()))
    values = {(row["calibration"], row["priors"], row["split"], row["metric"]): row["value"] for row in rows}
    assert len(rows) == len(values) == len(CALIBRATION_VARIANTS) * 2 * (len(DECISION_METRICS) + 1)
    sample = deployment.predicted
    counts = (
        confusion_matrix(task.dev_test.targets, task.dev_test.labels, 3),
        confusion_matrix(sample.targets, sample.labels, 3),
    )
    for split, table, prior in zip(
        ("dev_test", "app_test"), counts, (deployment.estimated_prevalences, deployment.exact_prevalences), strict=True
    ):
        # Judged by the estimate where it was developed; what comes of it, by what is there.
        assert values["none", "none", split, "ec_estimated"] == pytest.approx(expected_cost(table, prior), abs=1e-6)
        assert values["none", "none", split, "ec_exact"] == pytest.approx(
            expected_cost(table, deployment.exact_prevalences), abs=1e-6
        )
        assert values["affine", "exact", split, "ec_estimated"] == values["affine", "estimated", split, "ec_estimated"]
        assert values["temperature", "none", split, "accuracy"] == values["none", "none", split, "accuracy"]
    assert values["affine", "exact", "app_test", "ec"] < values["none", "none", "app_test", "ec"]


def test_the_whole_table_is_undefined_where_calibration_was_from_no_numbers() -> None:
    task = make_splits(4)
    spoilt = task.dev_cal.logits.copy()
    spoilt[0] = np.nan
    broken = replace(task, dev_cal=replace(task.dev_cal, logits=spoilt))
    rows = list(performance_rows(broken, [broken.deploy(2.0)], PriorEstimator()))
    assert {row["calibration"] for row in rows if not np.isnan(row["value"])} == {"none"}
