from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seedfold.jobs.errors import UsageError
from seedfold.results.prevalence.table_means import TRUE, summarise_table


def errors() -> pd.DataFrame:
    """Two tasks, two ratios and two methods, of which one is undefined once."""
    places = pd.MultiIndex.from_product([["hip", "knee"], [1.0, 5.0], ["CC", "ACC"]], names=["task", "ratio", "method"])
    frame = places.to_frame(index=False).assign(n=100, metric="absolute_error", value=np.arange(8) / 10)
    frame.loc[3, "value"] = np.nan
    return frame


def estimates() -> pd.DataFrame:
    places = pd.MultiIndex.from_product(
        [["hip"], [1.0, 5.0], ["CC", "ACC"], [0, 1], [7, 8]], names=["task", "ratio", "method", "class", "seed"]
    )
    frame = places.to_frame(index=False).assign(n=100, prevalence=0.5, estimate=np.arange(16) / 16)
    frame.loc[frame["ratio"] == 5.0, "prevalence"] = [0.8, 0.8, 0.2, 0.2] * 2
    return frame


def test_a_mean_over_an_undefined_value_says_of_how_many_it_is() -> None:
    found = summarise_table("quantification_error", errors())
    assert found.columns.tolist() == ["method", "metric", "mean", "sd", "n", "expected"]
    assert found[["method", "n", "expected"]].to_numpy().tolist() == [["CC", 4, 4], ["ACC", 3, 4]]
    assert found["mean"].tolist() == pytest.approx([0.3, 1.3 / 3])


def test_means_by_ratio_and_other_columns() -> None:
    found = summarise_table("quantification_error", errors(), by=["ratio"])
    assert found[["ratio", "method", "n", "expected"]].to_numpy().tolist() == [
        [1.0, "CC", 2, 2], [1.0, "ACC", 2, 2], [5.0, "CC", 2, 2], [5.0, "ACC", 1, 2]
    ]  # fmt: skip
    by_both = summarise_table("quantification_error", errors(), by=["ratio", "task"])
    assert by_both["mean"].dropna().tolist() == errors()["value"].dropna().tolist()
    assert by_both.loc[by_both["mean"].isna(), ["n", "expected"]].to_numpy().tolist() == [[0, 1]]
    assert summarise_table("quantification_error", errors(), by=["method"])["n"].tolist() == [4, 3]


@pytest.mark.parametrize(("by", "says"), [("ratoi", "did you mean 'ratio'"), ("value", "columns: task, ratio, method")])
def test_a_column_that_there_is_not_is_named(by: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"--by {by}: no such column of quantification_error") as raised:
        summarise_table("quantification_error", errors(), by=[by])
    assert says in str(raised.value)


def test_estimates_stand_beside_the_prevalences_that_there_are() -> None:
    found = summarise_table("quantification", estimates())
    assert found.columns.tolist()[:4] == ["task", "ratio", "class", "metric"]
    wide = found.pivot(index=["ratio", "class"], columns="metric", values="mean")
    assert wide[TRUE].tolist() == pytest.approx([0.5, 0.5, 0.8, 0.2])
    assert wide["CC"].tolist() == pytest.approx([0.5 / 16, 2.5 / 16, 8.5 / 16, 10.5 / 16])
    assert found["n"].unique().tolist() == [2]
    unlabelled = summarise_table("quantification", estimates().assign(prevalence=np.nan, ratio=np.nan))
    assert set(unlabelled["metric"]) == {"CC", "ACC"}
    assert len(unlabelled) == 4
    assert len(summarise_table("quantification", estimates(), by=["class"])) == 6
