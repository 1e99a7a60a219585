from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_quantifiers import METHODS as LITERAL
from shift_samples import make_predicted
from sklearn.neighbors import KernelDensity

from seedfold.jobs.errors import UsageError
from seedfold.results.prevalence.mean_predictions import PredictedSamples
from seedfold.results.prevalence.quantify import METHODS, QuantificationProblem, check_methods, estimate_prevalences
from seedfold.results.prevalence.quantify.counts import adjust
from seedfold.results.prevalence.quantify.densities import kernel_densities
from seedfold.results.prevalence.quantify.simplex import minimize_on_simplex

CORRECTING = [method for method in METHODS if method not in ("CC", "PCC")]
WITHOUT_A_CLASS = ("CC", "PCC", "ACC", "PACC", "BBSE")


def problem(counts: list[int], developed: list[int], seed: int = 0, skill: float = 1.5) -> QuantificationProblem:
    random = np.random.default_rng(seed)
    known, pool = make_predicted(random, developed, skill=skill), make_predicted(random, counts, skill=skill)
    return QuantificationProblem(known, pool, [np.arange(len(pool.targets))], seed=3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [2, 4])
def test_estimates_are_those_of_the_definition(method: str, classes: int) -> None:
    asked = problem([60, 200, 40, 90][:classes], [80, 70, 75, 65][:classes], seed=classes)
    known = asked.labelled
    expected = LITERAL[method](known.probabilities, known.targets, asked.pool.probabilities)
    assert estimate_prevalences(method, asked)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", ["BBSE", "EMQ", "KDEyCS"])
def test_many_classes_and_few_samples(method: str) -> None:
    asked = problem([3] * 23, [6] * 23, skill=3)
    [found] = estimate_prevalences(method, asked)
    known = asked.labelled
    expected = LITERAL[method](known.probabilities, known.targets, asked.pool.probabilities)
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("dimensions", [2, 5, 23])
def test_densities_are_those_of_scikit_learn(dimensions: int) -> None:
    random = np.random.default_rng(dimensions)
    centres, points = (random.dirichlet(np.ones(dimensions), size) for size in (1500, 700))
    points[-1] += 1  # far from all centres
    weights = np.column_stack([np.full(1500, 1 / 1500), np.arange(1500) < 300])
    found = kernel_densities(points, centres, weights, 0.1)
    for column, sample in enumerate((centres, centres[:300])):
        expected = np.exp(KernelDensity(bandwidth=0.1).fit(sample).score_samples(points))
        assert found[:, column] / weights[:, column].sum() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_samples_are_estimated_alike_alone_and_together(method: str) -> None:
    asked = problem([200, 100], [40, 40])
    pool, known = asked.pool, asked.labelled
    samples = [np.arange(300), np.flatnonzero(pool.targets == 0), np.arange(250, 50, -3)]
    together = estimate_prevalences(method, QuantificationProblem(known, pool, samples, seed=3))
    alone = [
        estimate_prevalences(method, QuantificationProblem(known, pool.take(rows), [np.arange(len(rows))], seed=3))[0]
        for rows in samples
    ]
    assert together == [pytest.approx(estimate, abs=1e-6) for estimate in alone]


@pytest.mark.parametrize("method", CORRECTING)
@pytest.mark.parametrize("counts", [[400, 3200], [2000, 250, 250]])
def test_truth_is_found_within_statistical_error(method: str, counts: list[int]) -> None:
    asked = problem(counts, [1000] * len(counts), skill=2)
    truth = np.array(counts) / sum(counts)
    # The standard error is near 0.01: of the rates of confusion, and of what is observed.
    assert estimate_prevalences(method, asked)[0] == pytest.approx(truth, abs=0.04)
    assert np.abs(estimate_prevalences("CC", asked)[0] - truth).max() > 0.05


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10_000), st.permutations(range(3)))
def test_estimates_do_not_depend_on_the_order_of_classes(seed: int, order: list[int]) -> None:
    """KDEyHD apart, for which every class has other draws."""
    asked = problem([90, 30, 50], [40, 40, 40], seed)
    turned = QuantificationProblem(*(_in_order(known, order) for known in (asked.labelled, asked.pool)), asked.samples)
    for method in METHODS:
        if method != "KDEyHD":
            expected = estimate_prevalences(method, asked)[0][list(order)]
            assert estimate_prevalences(method, turned)[0] == pytest.approx(expected, abs=1e-3), method


def _in_order(known: PredictedSamples, order: list[int]) -> PredictedSamples:
    return PredictedSamples(np.argsort(order)[known.targets], np.ascontiguousarray(known.logits[:, order]))


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10_000), st.integers(2, 4), st.floats(0, 4))
def test_estimates_are_prevalences(seed: int, classes: int, skill: float) -> None:
    asked = problem([5 + 7 * number for number in range(classes)], [10] * classes, seed, skill)
    for method in METHODS:
        [found] = estimate_prevalences(method, asked)
        assert found.min() >= -1e-9
        # What BBSE finds need not sum to 1.
        assert method == "BBSE" or found.sum() == pytest.approx(1, abs=1e-6), method


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", ["labelled", "pool"])
def test_nothing_is_estimated_from_predictions_that_are_no_numbers(method: str, where: str) -> None:
    asked = problem([40, 20], [20, 20])
    getattr(asked, where).logits[7, 1] = np.nan
    assert np.isnan(estimate_prevalences(method, asked)[0]).all()


@pytest.mark.parametrize("method", METHODS)
def test_class_without_labelled_samples_is_not_made_up(method: str) -> None:
    [found] = estimate_prevalences(method, problem([40, 20, 30], [20, 0, 20]))
    assert np.isfinite(found).all() if method in WITHOUT_A_CLASS else np.isnan(found).all()


@pytest.mark.parametrize("method", METHODS)
def test_empty_sample_has_no_prevalences(method: str) -> None:
    asked = problem([40, 20], [20, 20])
    empty, whole = estimate_prevalences(
        method, QuantificationProblem(asked.labelled, asked.pool, [np.arange(0), *asked.samples], seed=3)
    )
    assert np.isnan(empty).all()
    assert whole == pytest.approx(estimate_prevalences(method, asked)[0], abs=1e-6)


def test_class_that_is_never_chosen_does_not_make_estimates_infinite() -> None:
    known = PredictedSamples(np.array([0, 0, 1, 1, 2, 2]), np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 1, 0]])
    pool = PredictedSamples(np.zeros(4, dtype=np.int64), np.eye(3, dtype=np.float32)[[0, 1, 1, 1]])
    for method in METHODS:
        [found] = estimate_prevalences(method, QuantificationProblem(known, pool, [np.arange(4)]))
        assert np.isfinite(found).all(), method
        assert found.min() >= -1e-9, method


def test_kdey_hd_draws_the_same_for_the_same_seed() -> None:
    asked = problem([40, 20], [20, 20])
    first, again, other = (
        estimate_prevalences("KDEyHD", QuantificationProblem(asked.labelled, asked.pool, asked.samples, seed))[0]
        for seed in (5, 5, 6)
    )
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_absent_class_is_estimated_to_be_absent() -> None:
    asked = problem([1000, 0], [300, 300], skill=3)
    for method in CORRECTING:
        assert estimate_prevalences(method, asked)[0][1] < 0.02, method


@settings(deadline=None, max_examples=10)
@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=4))
def test_solver_finds_a_minimum_within(weights: list[float]) -> None:
    aim = np.array(weights) / sum(weights)
    assert minimize_on_simplex(lambda x: float(((x - aim) ** 2).sum()), len(aim)) == pytest.approx(aim, abs=1e-3)
    assert adjust(np.eye(len(aim)), aim) == pytest.approx(aim, abs=1e-3)


@pytest.mark.parametrize(("name", "says"), [("KDEyL", "did you mean 'KDEyML'"), ("accc", "is not one of CC, PCC")])
def test_method_that_there_is_not_is_named(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"methods: '{name}' is not one of CC, PCC") as raised:
        estimate_prevalences(name, problem([4, 2], [2, 2]))
    assert says in str(raised.value)


def test_methods_are_found_whatever_their_case() -> None:
    assert check_methods(["acc", "KDEYML", "hdy", "ACC"]) == ("ACC", "KDEyML", "HDy")
    asked = problem([4, 2], [2, 2])
    assert np.array_equal(estimate_prevalences("emq", asked)[0], estimate_prevalences("EMQ", asked)[0])
