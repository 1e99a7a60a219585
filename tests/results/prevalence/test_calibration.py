from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax
from shifting import make_predicted, make_splits

from seedfold.jobs.work import DataFailure
from seedfold.results.prevalence.calibration import calibration_errors, calibration_rows
from seedfold.results.prevalence.members import PredictedSamples
from seedfold.results.prevalence.priors import PriorEstimator
from seedfold.results.prevalence.recalibrate import CALIBRATION_VARIANTS, fit_calibrator, softmax

SEEDS = st.integers(0, 10_000)


def loss(known: PredictedSamples, logits: np.ndarray, prior: np.ndarray | None) -> float:
    weights = 1.0 if prior is None else (prior / (known.class_counts / len(known.targets)))[known.targets]
    return float(np.mean(weights * -log_softmax(logits, axis=1)[np.arange(len(logits)), known.targets]))


@settings(max_examples=5, deadline=None)
@given(SEEDS, st.integers(2, 4), st.booleans())
def test_nothing_fits_better_than_what_was_fitted(seed: int, classes: int, weighted: bool) -> None:
    """The problem is convex: another method of another library may not find a smaller loss."""
    random = np.random.default_rng(seed)
    known = make_predicted(random, random.integers(20, 80, classes).tolist(), scale=3.0)
    prior = random.dirichlet(np.full(classes, 9.0)) if weighted else None
    shift = np.zeros(classes) if prior is None else np.log(prior)
    best = {
        "temperature": minimize(lambda x: loss(known, x[0] * known.logits, prior), [0.5], method="Nelder-Mead").fun,
        "affine": minimize(
            lambda x: loss(known, x[0] * known.logits + x[1:] + shift, prior), np.full(classes + 1, 0.1), method="SLSQP"
        ).fun,
    }
    assert loss(known, fit_calibrator(known, "temperature", prior)(known.logits), prior) == pytest.approx(
        best["temperature"], 1e-4
    )
    assert loss(known, fit_calibrator(known, "affine", prior)(known.logits), prior) <= best["affine"] * (1 + 1e-4)


@pytest.mark.parametrize("classes", [2, 23])
@pytest.mark.parametrize("weighted", [False, True])
def test_affine_calibration_expects_each_class_as_often_as_the_prior_says(classes: int, weighted: bool) -> None:
    """What the gradient of b being zero means, with or without a prior."""
    random = np.random.default_rng(classes)
    known = make_predicted(random, random.integers(20, 80, classes).tolist(), scale=2.0)
    shares = known.class_counts / len(known.targets)
    prior = random.dirichlet(np.full(classes, 9.0)) if weighted else shares
    p = np.exp(fit_calibrator(known, "affine", prior if weighted else None)(known.logits))
    assert np.allclose(((prior / shares)[known.targets][:, None] * p).mean(axis=0), prior, atol=1e-3)


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.integers(2, 6))
def test_the_order_of_classes_does_not_matter(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    known = make_predicted(random, random.integers(20, 80, classes).tolist(), scale=2.0)
    prior, order = random.dirichlet(np.full(classes, 9.0)), random.permutation(classes)
    other = PredictedSamples(np.argsort(order)[known.targets], known.logits[:, order].copy())
    for method in ("temperature", "affine"):
        one, two = (
            fit_calibrator(known, method, prior)(known.logits),
            fit_calibrator(other, method, prior[order].copy())(other.logits),
        )
        assert np.allclose(np.exp(one[:, order]), np.exp(two), atol=2e-3)
        assert calibration_errors(known.targets, one) == pytest.approx(calibration_errors(other.targets, two), abs=2e-3)


def test_what_is_calibrated_stays_as_it_is() -> None:
    known = make_predicted(np.random.default_rng(0), [6000, 6000, 6000])
    for method in ("temperature", "affine"):
        assert np.allclose(softmax(fit_calibrator(known, method)(known.logits)), known.probabilities, atol=0.02)
    assert fit_calibrator(known, "none")(known.logits) is known.logits
    with pytest.raises(ValueError, match="a prior is of no use"):
        fit_calibrator(known, "none", np.full(3, 1 / 3))


def test_prior_zero_of_an_affine_calibration_is_no_number_and_of_a_temperature_no_weight() -> None:
    known, prior = make_predicted(np.random.default_rng(0), [40, 40, 40]), np.array([0.5, 0.5, 0.0])
    assert np.isnan(fit_calibrator(known, "affine", prior)(known.logits)).all()
    assert np.isfinite(fit_calibrator(known, "temperature", prior)(known.logits)).all()


def test_samples_that_lack_a_class_or_are_told_perfectly_are_calibrated() -> None:
    random = np.random.default_rng(0)
    perfect = PredictedSamples(np.repeat(np.arange(3), 9), np.repeat(np.eye(3, dtype=np.float32), 9, axis=0))
    for known in (make_predicted(random, [50, 0, 50]), perfect):
        for method in ("temperature", "affine"):
            changed = fit_calibrator(known, method)(known.logits)
            assert np.isfinite(changed).all()
            assert loss(known, changed, None) <= loss(known, known.logits, None) + 1e-6


def test_not_a_number_among_the_logits_is_never_a_good_score() -> None:
    known = make_predicted(np.random.default_rng(0), [30, 30])
    spoilt = replace(known, logits=known.logits.copy())
    spoilt.logits[3, 1] = np.nan
    assert np.isnan(list(calibration_errors(spoilt.targets, spoilt.logits).values())).all()
    for method in ("temperature", "affine"):
        assert np.isnan(fit_calibrator(spoilt, method)(known.logits)).all()
    task = make_splits(0)
    for broken in (replace(task, dev_test=spoilt), replace(task, app_test=spoilt)):
        with pytest.raises(DataFailure, match="no prevalences can be estimated"):
            list(calibration_rows(broken, [broken.deploy(1.0)], PriorEstimator()))


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from([2, 3, 23]), st.sampled_from([np.float32, np.float64]))
def test_errors_are_what_their_definitions_say(seed: int, classes: int, precision: type) -> None:
    random = np.random.default_rng(seed)
    known = make_predicted(random, random.integers(1, 30, classes).tolist(), scale=2.0)
    logits = known.logits.astype(precision)
    p, truth = softmax(logits), np.eye(classes)[known.targets]
    found = calibration_errors(known.targets, logits)
    edges, gaps = np.arange(0, 1.00001, 0.1).astype(precision), 0.0
    for number in range(classes):
        for lower, upper in pairwise(edges):
            inside = (p[:, number] > lower) & (p[:, number] <= upper)
            if inside.any():
                gaps += inside.mean() * abs(truth[inside, number].mean() - p[inside, number].mean(dtype=np.float64))
    assert found["cwce"] == pytest.approx(gaps / classes)
    assert found["bs"] == pytest.approx(np.square(truth - p).mean())
    assert found["rbs"] == pytest.approx(np.sqrt(np.square(truth - p).sum(axis=1).mean()))
    constant = np.log(np.tile(truth.mean(axis=0), (len(truth), 1)))
    assert calibration_errors(known.targets, constant)["nbs"] == pytest.approx(1.0)
    assert found["nbs"] == pytest.approx(found["bs"] / calibration_errors(known.targets, constant)["bs"])


def test_errors_of_certainty() -> None:
    targets = np.array([0, 0, 1, 1])
    certain = np.where(np.eye(2)[targets] > 0, 60.0, -60.0).astype(np.float32)
    assert calibration_errors(targets, certain) == pytest.approx({"cwce": 0, "rbs": 0, "bs": 0, "nbs": 0}, abs=1e-12)
    # Zero lies in no bin, so that only certainty of the other class counts.
    assert calibration_errors(targets, -certain) == pytest.approx({"cwce": 0.5, "rbs": 2**0.5, "bs": 1.0, "nbs": 4.0})
    alone = calibration_errors(np.zeros(4, dtype=np.int64), certain)
    assert np.isnan(alone["nbs"])
    assert alone["bs"] == 0.5


def test_knowing_the_prevalences_beats_not_knowing_them_in_a_deployment() -> None:
    task = make_splits(1, classes=3, samples_per_class=300, scale=2.0)
    rows = list(calibration_rows(task, [task.deploy(ratio) for ratio in (1.0, 6.0)], PriorEstimator()))
    assert [(row["method"], row["priors"]) for row in rows[:14:2]] == list(CALIBRATION_VARIANTS)
    assert len(rows) == 2 * 7 * 2
    score = {(row["ratio"], row["method"], row["priors"], row["split"]): row for row in rows}
    for known in ("exact", "estimated"):
        assert score[6.0, "affine", known, "app_test"]["bs"] < score[6.0, "affine", "none", "app_test"]["bs"]
        assert score[6.0, "affine", known, "app_test"]["cwce"] < score[6.0, "none", "none", "app_test"]["cwce"]
    same = [score[ratio, "affine", "none", "dev_test"]["bs"] for ratio in (1.0, 6.0)]
    assert same[0] == same[1]


def test_class_that_is_estimated_to_be_absent() -> None:
    task = make_splits(2, classes=3)
    deployment = task.deploy(2.0)
    vars(deployment)["estimated_prevalences"] = np.array([0.75, 0.25, 0.0])
    with pytest.raises(DataFailure, match="ratio 2: class 2 is estimated to be absent"):
        list(calibration_rows(task, [deployment], PriorEstimator("error")))
    for zeros, undefined in (("epsilon", set()), ("as_published", {("affine", "estimated")})):
        rows = list(calibration_rows(task, [deployment], PriorEstimator(zeros)))
        assert {(row["method"], row["priors"]) for row in rows if np.isnan(row["cwce"])} == undefined
        assert {(row["method"], row["priors"]) for row in rows if np.isnan(row["bs"])} == undefined
    assert PriorEstimator().estimated_prior(deployment)[2] == 1e-8


def test_an_estimate_that_is_zero_but_for_noise_is_zero_except_as_published() -> None:
    task = make_splits(2, classes=3)
    deployment = task.deploy(2.0)
    vars(deployment)["estimated_prevalences"] = np.array([0.75, 0.25 - 3e-17, 3e-17])
    with pytest.raises(DataFailure, match="ratio 2: class 2 is estimated to be absent"):
        PriorEstimator("error").estimated_prior(deployment)
    assert PriorEstimator("epsilon").estimated_prior(deployment)[2] == 1e-8
    assert PriorEstimator("as_published").estimated_prior(deployment)[2] == 3e-17
    vars(deployment)["estimated_prevalences"] = np.array([0.75, 0.25 - 2e-12, 2e-12])
    assert PriorEstimator("error").estimated_prior(deployment)[2] == 2e-12


def test_as_published_keeps_a_zero_where_it_was_published() -> None:
    deployment = make_splits(2, classes=3).deploy(2.0)
    vars(deployment)["estimated_prevalences"] = np.array([0.75, 0.25, 0.0])
    assert PriorEstimator("as_published").estimated_prior(deployment)[2] == 0
    assert PriorEstimator("as_published").cost_prior(deployment)[2] == np.float32(1e-8)
