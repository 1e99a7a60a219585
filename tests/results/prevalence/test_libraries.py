"""Tables against numbers of the libraries that the published ones were made with, which are not installed here.

Recorded from QuaPy 0.1.8.1, psrcal 0.0.1 (temperatures without a prior among their scores) and expected-cost 0.0.3.
"""

from __future__ import annotations

import numpy as np
import pytest
from shifts import make_predictions

from seedfold.results.prevalence.calibration import calibration_rows
from seedfold.results.prevalence.deployment import Deployment, PredictedSplits
from seedfold.results.prevalence.members import PredictedSamples
from seedfold.results.prevalence.performance import performance_rows
from seedfold.results.prevalence.priors import PriorEstimator
from seedfold.results.prevalence.quantification import quantification_rows

COUNTS = {"dev_cal": (60, 20, 40), "dev_test": (30, 30, 30), "app_test": (200, 60, 120)}
ESTIMATES = {
    "CC": (0.559375, 0.175, 0.265625),
    "PCC": (0.4709848, 0.2384785, 0.2905366),
    "ACC": (0.650926, 0.1118184, 0.2372556),
    "PACC": (0.6816155, 0.1164462, 0.2019384),
    "EMQ": (0.7322297, 0.040131, 0.2276393),
    "KDEyML": (0.6688227, 0.132158, 0.1990193),
    "KDEyCS": (0.6559719, 0.1391015, 0.2049266),
    "HDy": (0.6622708, 0.1092912, 0.228438),
}
FITS = {
    ("none", "none"): (0.1209571, 0.6580737),
    ("temperature", "none"): (0.0927167, 0.6335513),
    ("temperature", "exact"): (0.0906154, 0.6334663),
    ("temperature", "estimated"): (0.0906235, 0.6334677),
    ("affine", "none"): (0.0402464, 0.5524142),
    ("affine", "exact"): (0.044662, 0.5574309),
    ("affine", "estimated"): (0.0521897, 0.5615603),
}
"""cwce and nbs in the deployment."""
COSTS = {
    ("none", "none"): (0.2444444, 0.2208333, 0.2190904, 0.6276329),
    ("temperature", "exact"): (0.2444444, 0.2208333, 0.2190904, 0.6276329),
    ("affine", "none"): (0.2333333, 0.1791667, 0.1752413, 0.5020177),
    ("affine", "estimated"): (0.2555556, 0.1416667, 0.1329664, 0.3809117),
}
"""ec, ec_exact, ec_estimated and nec_estimated on dev_test."""


@pytest.fixture(scope="module")
def task() -> PredictedSplits:
    parts = dict(iter(make_predictions(3, COUNTS).groupby("split")))
    logits = [f"logit_{number}" for number in range(3)]
    return PredictedSplits(
        *(
            PredictedSamples(parts[name]["target"].to_numpy().copy(), parts[name][logits].to_numpy().copy())
            for name in COUNTS
        )
    )


@pytest.fixture(scope="module")
def deployment(task: PredictedSplits) -> Deployment:
    return task.deploy(5.0)


def test_estimates_are_those_of_quapy(task: PredictedSplits, deployment: Deployment) -> None:
    rows = list(quantification_rows(task, [deployment], tuple(ESTIMATES)))
    for method, known in ESTIMATES.items():
        found = [row["estimate"] for row in rows if row["method"] == method]
        assert found == pytest.approx(known, abs=1e-4), method


def test_calibrations_are_those_of_psrcal(task: PredictedSplits, deployment: Deployment) -> None:
    rows = [row for row in calibration_rows(task, [deployment], PriorEstimator()) if row["split"] == "app_test"]
    found = {(row["method"], row["priors"]): (row["cwce"], row["nbs"]) for row in rows}
    assert list(found) == list(FITS)
    # A sample at the edge of a bin falls into another for the last bit of a fit.
    assert np.allclose(list(found.values()), list(FITS.values()), rtol=0, atol=(5e-3, 1e-4))


def test_costs_are_those_of_expected_cost(task: PredictedSplits, deployment: Deployment) -> None:
    rows = [row for row in performance_rows(task, [deployment], PriorEstimator()) if row["split"] == "dev_test"]
    found = {(row["calibration"], row["priors"], row["metric"]): row["value"] for row in rows}
    for variant, known in COSTS.items():
        names = ("ec", "ec_exact", "ec_estimated", "nec_estimated")
        assert [found[*variant, name] for name in names] == pytest.approx(known, abs=1e-6), variant
