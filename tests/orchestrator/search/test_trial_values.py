from __future__ import annotations

import pytest

from seedfold.orchestrator.search.trial_values import mean_values

LOGGED = [{"val/accuracy": 0.5, "f1.macro": 1.0}, {"val/accuracy": 0.7, "f1.macro": 0.0}, {"loss": 1.0}]


@pytest.mark.parametrize("name", ["val/accuracy", "val.accuracy"])
def test_a_metric_may_be_named_as_it_is_logged_or_as_in_tables(name: str) -> None:
    assert mean_values(LOGGED, [name, "f1.macro"]) == (pytest.approx(0.6), 0.5)


def test_a_metric_that_no_job_has_has_no_mean() -> None:
    assert mean_values(LOGGED, ["val.auroc"]) is None
    assert mean_values(LOGGED, []) is None
    assert mean_values([{"value": 2.0}], []) == (2.0,)
