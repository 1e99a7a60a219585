from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import rel_entr
from shift_samples import make_splits

from seedfold.jobs.errors import UsageError
from seedfold.results.prevalence.quantification import quantification_error_rows, quantification_rows
from seedfold.results.prevalence.quantify import METHODS, QuantificationProblem, estimate_prevalences

RATIOS = (1.0, 3.0)


def test_table_has_each_class_of_each_estimate() -> None:
    known = make_splits(0, classes=3, samples_per_class=20)
    deployments = [known.deploy(ratio) for ratio in RATIOS]
    table = pd.DataFrame(quantification_rows(known, deployments, seed=9))
    assert list(table) == ["ratio", "n", "method", "class", "prevalence", "estimate"]
    places = [(ratio, method, number) for ratio in RATIOS for method in METHODS for number in range(3)]
    assert list(table[["ratio", "method", "class"]].itertuples(index=False, name=None)) == places
    for deployment, (_, rows) in zip(deployments, table.groupby("ratio"), strict=True):
        assert set(rows["n"]) == {len(deployment.rows)}
        truth = np.bincount(known.app_test.targets[deployment.rows]) / len(deployment.rows)
        assert rows["prevalence"].tolist() == truth.tolist() * len(METHODS)
        problem = QuantificationProblem(known.dev_test, known.app_test, [deployment.rows], seed=9)
        for method in ("BBSE", "KDEyHD"):
            found = rows.loc[rows["method"] == method, "estimate"].to_numpy()
            assert found == pytest.approx(estimate_prevalences(method, problem)[0], abs=1e-6)


def test_method_that_there_is_not_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(UsageError, match="'BBS' is not one of"):
        quantification_rows(make_splits(0), [], ["CC", "BBS"])


def test_errors_are_those_of_the_estimates() -> None:
    exact, estimate = np.array([0.7, 0.2, 0.1]), np.array([0.5, 0.5, 0.0])
    place = {"task": "one", "ratio": 2.0, "n": 50, "method": "CC"}
    rows = [
        {**place, "class": number, "prevalence": p, "estimate": q}
        for number, (p, q) in enumerate(zip(exact, estimate, strict=True))
    ]
    right = [{**row, "method": "ACC", "estimate": row["prevalence"]} for row in rows]
    unknown = [{**row, "method": "EMQ", "estimate": np.nan} for row in rows]
    table = pd.DataFrame(quantification_error_rows([*rows, *right, *unknown]))
    assert list(table) == ["task", "ratio", "n", "method", "metric", "value"]
    values = table.set_index(["method", "metric"])["value"]
    assert values["CC", "absolute_error"] == pytest.approx(0.6)
    divergence = rel_entr(exact + 1 / 50, estimate + 1 / 50).sum()
    assert values["CC", "nkld"] == pytest.approx(np.tanh(divergence / 2))
    assert values["ACC"].tolist() == pytest.approx([0, 0])
    assert values["EMQ"].isna().all()
