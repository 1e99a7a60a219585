from __future__ import annotations

import numpy as np
import pytest

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.results.prevalence.estimate import EstimateSettings, loss_weights
from seedfold.results.prevalence.quantify import METHODS


def test_all_methods_may_be_asked_for_and_no_other() -> None:
    assert EstimateSettings.from_config({"estimate": {"methods": list(METHODS)}}).methods == METHODS
    with pytest.raises(ConfigFailure, match=r"estimate.methods: 'KDEy' is not one of CC, PCC"):
        EstimateSettings.from_config({"estimate": {"methods": ["CC", "KDEy"]}})
    with pytest.raises(ConfigFailure, match=r"estimate.method: 'acc' is not one of CC.* \(did you mean 'ACC'\?\)"):
        EstimateSettings.from_config({"estimate": {"method": "acc"}})


def test_estimate_of_zero_is_never_a_weight_of_zero_unless_that_is_asked_for() -> None:
    estimate = np.array([0.25, 0.0, 0.75])
    with pytest.raises(DataFailure, match="class 1 is estimated to be absent"):
        loss_weights(estimate, "error", 1e-8, None)
    assert min(loss_weights(estimate, "epsilon", 1e-8, None)) == pytest.approx(1e-8)
    assert loss_weights(estimate, "as_published", 1e-8, None) == [0.25, 0.0, 0.75]
    noise = np.array([0.25, 1e-15, 0.75])
    with pytest.raises(DataFailure, match="class 1 is estimated to be absent"):
        loss_weights(noise, "error", 1e-8, None)
    assert loss_weights(noise, "as_published", 1e-8, None)[1] == pytest.approx(1e-15)
    unbalanced = loss_weights(np.array([0.5, 0.5]), "error", 1e-8, np.array([0.8, 0.2]))
    assert unbalanced == pytest.approx([0.2, 0.8])


def test_estimate_that_is_no_number_is_no_weight() -> None:
    for zeros in ("error", "epsilon", "as_published"):
        with pytest.raises(DataFailure, match="class 0 has no finite prevalence"):
            loss_weights(np.array([np.nan, np.nan]), zeros, 1e-8, None)
