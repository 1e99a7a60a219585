from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from seedfold.jobs.errors import UsageError
from seedfold.results.evaluation.query import query_accuracies
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import DamagedError, load_result
from seedfold.results.tables import result_tables as tables

Make = Callable[..., FinishedJob]
MakeMany = Callable[..., list[FinishedJob]]


def values(frame: pd.DataFrame, metric: str, split: str) -> pd.Series:
    return frame[(frame["metric"] == metric) & (frame["split"] == split)]["value"]


def test_runs_have_axes_provenance_and_metrics(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(model=["mlp", "tree"])
    runs[3] = replace(runs[3], stale="data x.csv")
    frame = tables.runs(runs)
    first = ["job", "stage", "model", "seed", "fold", "attempt", "seconds", "host", "stale"]
    assert list(frame.columns)[:9] == first
    assert frame["job"].tolist() == [run.id[:12] for run in runs]
    assert frame["seed"].dtype == np.int64
    assert frame["stale"].dropna().tolist() == ["data x.csv"]
    assert frame["seconds"].tolist() == [2.0] * 12
    recorded = [each["value"] for run in runs for each in load_result(run.folder).metrics if
                (each["split"], each["metric"]) == ("val", "mcc")]  # fmt: skip
    assert frame["val.mcc"].tolist() == recorded


def test_metrics_in_long_form_and_selected(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation()
    frame = tables.metrics(runs)
    assert list(frame.columns) == ["job", "stage", "seed", "fold", "split", "head", "metric", "value"]
    assert len(frame) == len(runs) * 2 * 7
    selected = tables.metrics(runs, where="seed=1 fold<2 split=val metric=accuracy,mcc")
    assert set(selected["metric"]) == {"accuracy", "mcc"}
    assert (selected["seed"] == 1).all()
    assert len(selected) == 4
    assert tables.metrics(runs, where=f"job={runs[0].id[:6]} metric=mcc")["job"].unique().tolist() == [runs[0].short_id]


def test_an_unknown_axis_is_named_with_the_nearest(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation()
    with pytest.raises(UsageError, match=r"sead: no such axis \(did you mean 'seed'\?\)"):
        tables.metrics(runs, where="sead=1")
    with pytest.raises(UsageError, match=r"folds: no such axis in these runs \(did you mean 'fold'\?\)"):
        tables.metrics(runs, by=["folds"])


def test_means_over_seed_and_fold_are_grouped_by_every_other_axis(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(ratio=[1, 10])
    long = tables.metrics(runs, where="ratio=10")
    means = tables.metric_means(runs)
    assert len(means) == 2 * 2 * 7
    (row,) = means[(means["ratio"] == 10) & (means["split"] == "val") & (means["metric"] == "accuracy")].to_dict(
        "records"
    )
    expected = values(long, "accuracy", "val").to_numpy()
    assert row["n"] == 6
    assert row["mean"] == pytest.approx(expected.mean())
    assert row["sd"] == pytest.approx(expected.std(ddof=1))
    low, high = stats.t.interval(0.95, 5, expected.mean(), stats.sem(expected))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high))
    assert row["over"] == "seed, fold"


def test_any_seed_axis_is_averaged_and_by_overrides_it(make_run: Make) -> None:
    logits = {"main": np.array([[0.0], [1.0]])}
    runs = [
        make_run({"task.split_seed": a, "model": m}, {"val": (["a", "b"], np.array([0, 1]), logits)})
        for a in (1, 2)
        for m in "xy"
    ]
    assert tables.metric_means(runs)["n"].unique().tolist() == [2]
    by_seed = tables.metrics(runs, by=["split_seed"])
    assert by_seed["over"].unique().tolist() == ["model"]
    assert by_seed["task.split_seed"].unique().tolist() == [1, 2]


def test_one_value_has_no_spread_and_undefined_values_do_not_count(make_run: Make) -> None:
    one_class = (["a", "b"], np.array([1, 1]), {"main": np.array([[1.0], [2.0]])})
    both = (["a", "b"], np.array([0, 1]), {"main": np.array([[1.0], [2.0]])})
    means = tables.metric_means([make_run({"seed": 0}, {"val": one_class}), make_run({"seed": 1}, {"val": both})])
    row = means.set_index("metric").loc["auroc"]
    assert (row["mean"], row["n"], row["undefined"]) == (1.0, 1, 1)
    assert np.isnan(row[["sd", "ci_low", "ci_high"]].astype(float)).all()


def test_axes_missing_in_a_stage_are_null_and_stages_do_not_mix(make_run: Make) -> None:
    split = {"val": (["a", "b"], np.array([0, 1]), {"main": np.array([[1.0], [2.0]])})}
    runs = [make_run({"seed": 0, "ratio": 2}, split), make_run({"seed": 1}, split, stage="other")]
    frame = tables.runs(runs)
    assert frame["ratio"].isna().tolist() == [False, True]
    assert str(frame["ratio"].dtype) == "Int64"
    means = tables.metric_means(runs)
    assert means.groupby("stage")["n"].unique().map(list).to_dict() == {"train": [1], "other": [1]}
    assert tables.predictions(runs)["ratio"].tolist() == [2, 2, pd.NA, pd.NA]


def test_axis_values_of_any_kind(make_run: Make) -> None:
    split = {"val": (["a"], np.array([0]), {"main": np.array([[1.0]])})}
    runs = [make_run({"w": [1, 2], "on": True, "x": 1}, split), make_run({"w": "auto", "on": False, "x": 0.5}, split)]
    frame = tables.predictions(runs)
    assert frame["w"].tolist() == ["[1,2]", "auto"]
    assert frame["on"].tolist() == [True, False]
    assert frame["x"].tolist() == [1.0, 0.5]


def test_predictions_keep_order_and_carry_axes(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation()[::-1]
    frame = tables.predictions(runs, splits=["val"])
    assert list(frame.columns) == ["job", "split", "sample_id", "target", "head", "logit_0", "logit_1", "logit_2",
                                   "stage", "seed", "fold"]  # fmt: skip
    expected = [pd.read_parquet(run.folder / "predictions.val.parquet") for run in runs]
    columns = ["sample_id", "target", "logit_0", "logit_1", "logit_2"]
    pd.testing.assert_frame_equal(frame[columns], pd.concat(expected)[columns].reset_index(drop=True))
    assert frame["job"].tolist() == [run.short_id for run in runs for _ in range(10)]
    assert frame["logit_0"].dtype == np.float32
    assert tables.predictions(runs, where="split=test seed=0")["split"].unique().tolist() == ["test"]
    assert len(tables.predictions(runs, where="split=test seed=0")) == 30


def test_predictions_of_tasks_of_different_width(make_run: Make) -> None:
    wide = make_run({"task": "a"}, {"val": (["x"], np.array([2]), {"main": np.array([[1.0, 2, 3]])})})
    narrow = make_run({"task": "b"}, {"val": (["x"], None, {"main": np.array([[5.0]])})})
    frame = tables.predictions([narrow, wide])
    assert frame["target"].tolist() == [pd.NA, 2]
    assert frame["logit_2"].isna().tolist() == [True, False]
    assert frame["logit_0"].tolist() == [5.0, 1.0]


def test_odd_folder_names_are_read_literally(make_run: Make, tmp_path: Path) -> None:
    run = make_run({"seed": 3}, {"val": (["x"], np.array([0]), {"main": np.array([[1.0]])})})
    for name in ("a[1]*", "seed=9", "it's", "what?"):
        moved = tmp_path / name / "store" / "x"
        moved.parent.mkdir(parents=True)
        run.folder.rename(moved)
        run = replace(run, folder=moved)
        assert tables.predictions([run])["seed"].tolist() == [3]


def test_a_vanished_result_names_the_job(make_run: Make, tmp_path: Path) -> None:
    run = replace(make_run({"seed": 3}), folder=tmp_path / "gone")
    with pytest.raises(DamagedError, match=f"job {run.short_id}"):
        tables.predictions([run])
    with pytest.raises(DamagedError, match=r"result\.json: missing"):
        tables.runs([run])


def test_no_runs_and_no_predictions(make_run: Make) -> None:
    run = make_run({"seed": 3})
    assert len(tables.runs([])) == len(tables.metrics([])) == len(tables.metrics([run])) == 0
    assert len(tables.metric_means([run])) == 0
    assert tables.runs([run])["seed"].tolist() == [3]
    with pytest.raises(UsageError, match="none of these runs has predictions"):
        tables.predictions([run])


def test_a_split_that_nobody_has(make_cross_validation: MakeMany) -> None:
    with pytest.raises(
        UsageError, match=r"split 'tset': no run has this split \(did you mean 'test'\?\); splits: test, val"
    ):
        tables.predictions(make_cross_validation(), splits=["tset"])


def test_query_is_sql_over_all_predictions(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation()
    answer = tables.query(runs, "SELECT seed, count(*) AS rows FROM predictions WHERE split = 'val' GROUP BY seed")
    assert sorted(answer.itertuples(index=False, name=None)) == [(0, 30), (1, 30)]
    with pytest.raises(UsageError, match=r"query: .*sead"):
        tables.query(runs, "SELECT sead FROM predictions")


def test_accuracies_from_predictions_are_those_of_the_store(make_cross_validation: MakeMany, make_run: Make) -> None:
    single = make_run({"seed": 9}, {"val": (["a", "b"], np.array([0, 1]), {"main": np.array([[-1.0], [-2.0]])})})
    runs = [*make_cross_validation(), single]
    found = query_accuracies(runs).set_index(["job", "split"])["accuracy"]
    expected = tables.metrics(runs, where="metric=accuracy").set_index(["job", "split"])["value"]
    pd.testing.assert_series_equal(found.sort_index(), expected.sort_index(), check_names=False)
    assert found[(single.short_id, "val")] == 0.5


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_export_keeps_every_digit_and_null(make_cross_validation: MakeMany, tmp_path: Path, format: str) -> None:
    frame = tables.metric_means(make_cross_validation(seeds=[0], folds=1))
    out = tmp_path / "new" / f"table.{format}"
    assert tables.export(frame, format, out) is None
    read: dict[str, Callable[..., Any]] = {
        "csv": pd.read_csv,
        "json": lambda path: pd.read_json(path, orient="records", precise_float=True),
        "parquet": pd.read_parquet,
    }
    again = read[format](out)
    pd.testing.assert_frame_equal(again, frame, check_dtype=False, check_exact=True)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert tables.export(frame, format) == out.read_bytes()


def test_a_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "table.json"
    out.write_text("old")
    with pytest.raises(TypeError):
        tables.export(pd.DataFrame({"x": [object()]}), "json", out)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_an_unknown_format_and_an_empty_table() -> None:
    with pytest.raises(UsageError, match=r"format 'jsn': unknown \(did you mean 'json'\?\)"):
        tables.export(pd.DataFrame(), "jsn")
    assert tables.export(pd.DataFrame(), "json") == b"[]\n"
