from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seedfold.jobs.errors import UsageError
from seedfold.results.tables.best_values import find_best, lower_is_better
from seedfold.results.tables.readable import Measured, exact_text, make_readable, round_measured


def means(**changes: object) -> pd.DataFrame:
    """Two learning rates, two metrics: of one, a value is missing."""
    return pd.DataFrame(
        {
            "stage": "train",
            "optimizer.lr": [0.1, 0.1, 0.01, 0.01],
            "split": "test",
            "head": "main",
            "metric": ["log_loss", "auroc"] * 2,
            "mean": [0.5, 0.7, 0.4, 0.9],
            "sd": [0.1, 0.2, 0.1, np.nan],
            "n": [3, 3, 3, 1],
            "ci_low": 0.0,
            "ci_high": 1.0,
            "undefined": [0, 0, 0, 2],
            "over": "seed",
            **changes,
        }
    )


def test_metrics_stand_side_by_side_in_one_row_however_many_values_each_has() -> None:
    table = make_readable(means())
    assert table.columns == ["lr", "split", "n", "auroc", "log_loss"]
    assert table.measured == ("auroc", "log_loss")
    assert table.frame[["lr", "n"]].to_numpy().tolist() == [[0.1, 3], [0.01, 3]]
    assert table.frame["auroc"].tolist() == [Measured(0.7, 0.2), Measured(0.9, None, "1 of 3", is_best=True)]
    assert table.frame["log_loss"].tolist() == [Measured(0.5, 0.1), Measured(0.4, 0.1, is_best=True)]


def test_a_mean_says_how_many_values_were_expected_where_some_are_missing() -> None:
    table = make_readable(means(n=[5, 5, 6, 0], expected=6, mean=[0.5, 0.7, 0.4, np.nan], undefined=0))
    assert table.frame["n"].tolist() == [6, 6]
    assert [cell.texts(2) for cell in table.frame["auroc"]] == [("0.70", "0.20", "5 of 6"), ("-", "", "0 of 6")]


def test_the_best_is_looked_for_among_rows_of_one_problem() -> None:
    frame = means(**{"task": ["hip", "hip", "knee", "knee"]})
    assert any(cell.is_best for cell in make_readable(frame).frame["auroc"])
    assert not any(cell.is_best for cell in make_readable(frame, problem=["task"]).frame["auroc"])


def test_nothing_is_the_best_where_a_name_does_not_tell_or_all_are_the_same() -> None:
    def best(metric: str, values: list[float]) -> list[bool]:
        return find_best(pd.DataFrame({"metric": metric, "value": values}), [])

    assert best("accuracy", [0.1, 0.3, 0.3, np.nan]) == [False, True, True, False]
    assert best("nec_exact", [0.1, 0.3, np.nan]) == [True, False, False]
    assert best("val_loss", [2.0, 1.0]) == [False, True]
    assert best("temperature", [1.0, 2.0]) == best("accuracy", [1.0, 1.0]) == [False, False]
    assert lower_is_better("brier")
    assert lower_is_better("average_precision") is False
    assert all(lower_is_better(name) for name in ("val_loss", "test/rmse", "val_mse_best", "logloss"))
    assert {lower_is_better(name) for name in ("val_acc", "test/accuracy", "top_f1_best", "val/AUC")} == {False}
    assert lower_is_better("lr-Adam") is None
    assert lower_is_better("flossy") is None


def test_records_and_what_is_the_same_everywhere_leave_before_metrics() -> None:
    frame = pd.DataFrame(
        {
            "job": ["a", "b"], "stage": "train", "seed": [0, 1], "model": "mlp", "attempt": [1, 2],
            "seconds": [1.0, 2.0], "host": ["x", "y"], "stale": None,
            "val.mcc": [0.1, 0.2], "val.accuracy": [0.3, 0.4], "test.accuracy": [0.5, 0.6],
        }
    )  # fmt: skip
    table = make_readable(frame)
    assert table.columns_to_leave_out() == [
        "host", "seconds", "attempt", "stale", "stage", "model", "val.mcc", "test.accuracy", "job"
    ]  # fmt: skip
    assert table.constant_value("model") == "mlp"
    assert table.constant_value("seed") is None
    assert table.columns == [str(name) for name in frame.columns]


def test_axes_keep_every_digit() -> None:
    frame = means().assign(ratio=[1.23456] * 4)
    rounded = round_measured(frame, 1, exact=["optimizer.lr", "ratio"])
    assert rounded["optimizer.lr"].tolist() == [0.1, 0.1, 0.01, 0.01]
    assert rounded["ratio"].tolist() == [1.23456] * 4
    assert rounded["mean"].tolist() == [0.5, 0.7, 0.4, 0.9]
    assert round_measured(frame, 0)["ratio"].tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.30000000000000004, "0.3"), (123456.0, "123456"), (1e-5, "1e-05"), (None, "-"), (np.nan, "-"), (pd.NA, "-"),
     ("a\nb", "a b"), (True, "True"), ([1, 2], "[1, 2]")],
)  # fmt: skip
def test_cells_that_are_no_measurements(value: object, text: str) -> None:
    assert exact_text(value) == text


def test_splits_that_share_no_metric_stand_side_by_side() -> None:
    own = make_readable(means(split=["train", "val"] * 2))
    assert own.columns == ["lr", "n", "val.auroc", "train.log_loss"]
    assert own.frame["train.log_loss"].tolist() == [Measured(0.5, 0.1), Measured(0.4, 0.1, is_best=True)]
    shared = make_readable(means(split=["train", "val"] * 2, metric="auroc"))
    assert shared.columns == ["lr", "split", "n", "auroc"]


@pytest.mark.parametrize("name", ["val.auroc", "val/auroc"])
def test_a_metric_of_one_split_sorts_the_rows_of_that_split(name: str) -> None:
    table = make_readable(means(split=["train", "test", "val", "val"], metric="auroc", mean=[0.9, 0.8, 0.3, 0.4]))
    ordered = table.sort(name).frame
    assert ordered["split"].tolist()[:1] == ["val"]
    with pytest.raises(UsageError, match=r"--sort valid/auroc: the table has no such column"):
        table.sort("valid/auroc")


def test_either_name_sorts_the_table_of_jobs() -> None:
    table = make_readable(pd.DataFrame({"job": ["a", "b"], "val.accuracy": [0.1, 0.2]}))
    for name in ("val/accuracy", "val.accuracy"):
        assert table.sort(name).frame["job"].tolist() == ["b", "a"]
