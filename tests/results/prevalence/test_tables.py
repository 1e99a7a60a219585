from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shifts import COUNTS, make_predictions

from seedfold.jobs.errors import UsageError
from seedfold.results.prevalence.deployment import PredictedSplits
from seedfold.results.prevalence.quantification import quantification_error_rows, quantification_rows
from seedfold.results.prevalence.settings import AnalysisSettings
from seedfold.results.prevalence.tables import (
    AnalysisTable,
    describe_omissions,
    make_analysis,
    read_existing_tables,
    record_settings,
)
from seedfold.results.store.finished_job import FinishedJob

METHODS = ("CC", "ACC")
SETTINGS = AnalysisSettings(ratios=(1.0, 2.0, 5.0), methods=METHODS)
Shifted = Callable[..., FinishedJob]


@pytest.fixture
def shifted(make_run: Callable[..., FinishedJob]) -> Shifted:
    """Publish a run that predicts the three splits, or those named."""

    def make(
        axes: dict[str, Any], seed: int = 0, splits: tuple[str, ...] = tuple(COUNTS), **changes: Any
    ) -> FinishedJob:
        frame = make_predictions(seed)
        logits = ["logit_0", "logit_1"]
        parts = {split: frame[frame["split"] == split] for split in splits}
        return make_run(
            axes,
            {
                split: (part["sample_id"].tolist(), part["target"].to_numpy(), {"main": part[logits].to_numpy()})
                for split, part in parts.items()
            },
            **changes,
        )

    return make


def written(cache: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in cache.glob("??/*.parquet")}


def test_a_table_has_the_rows_of_each_job_and_where_they_belong(shifted: Shifted, tmp_path: Path) -> None:
    runs = [shifted({"task": "hip", "seed": 3}, 0), shifted({"task": "knee"}, 1)]
    found = make_analysis("quantification", runs, SETTINGS, tmp_path / "cache")
    assert found.table.columns.tolist() == [
        "task", "ratio", "n", "method", "class", "prevalence", "estimate", "seed"
    ]  # fmt: skip
    splits = PredictedSplits.read([runs[0].folder])
    wanted = list(quantification_rows(splits, [splits.deploy(ratio) for ratio in (1.0, 2.0, 5.0)], METHODS))
    own = found.table[found.table["task"] == "hip"]
    assert own.drop(columns=["task", "seed"]).to_dict("records") == wanted
    assert own["seed"].unique().tolist() == [3]
    assert found.table.loc[found.table["task"] == "knee", "seed"].isna().all()
    errors = make_analysis("quantification_error", runs, SETTINGS, tmp_path / "cache").table
    assert errors.columns.tolist() == ["task", "ratio", "n", "method", "metric", "value", "seed"]
    assert errors.loc[errors["task"] == "hip", "value"].tolist() == [
        r["value"] for r in quantification_error_rows(wanted)
    ]


def test_what_cannot_be_analysed_is_left_out_and_counted(shifted: Shifted, tmp_path: Path) -> None:
    runs = [
        shifted({"task": "hip"}),
        shifted({"task": "hip", "imbalance_ratio": 2.0}, stage="anew"),
        shifted({"task": "hip", "imbalance_ratio": 3.0}, stage="anew"),
        shifted({"task": "knee"}, splits=("dev_cal", "app_test")),
    ]
    settings = AnalysisSettings(ratios=(1.0, 2.0, 20.0), methods=("CC",))
    found = make_analysis("quantification", runs, settings, tmp_path / "cache")
    own = found.table[found.table["stage"] == "anew"]
    assert (own["ratio"].unique().tolist(), own["imbalance_ratio"].unique().tolist()) == ([2.0], [2.0])
    assert found.table.loc[found.table["stage"] == "train", "ratio"].unique().tolist() == [1.0, 2.0]
    assert list(describe_omissions(found)) == [
        "1 job lacks one of the splits dev_cal, dev_test, app_test: left out",
        "1 ratio of a task is impossible, with too few samples of a class: no rows",
    ]
    with pytest.raises(UsageError, match="app_test; there are app_test, dev_cal"):
        make_analysis("quantification", runs[3:], settings, tmp_path / "cache")


def test_parts_are_computed_once_and_again_where_they_are_gone(shifted: Shifted, tmp_path: Path) -> None:
    runs, cache = [shifted({"task": task}, seed) for seed, task in enumerate(("hip", "knee"))], tmp_path / "cache"

    def make(settings: AnalysisSettings = SETTINGS) -> AnalysisTable:
        return make_analysis("quantification", runs, settings, cache)

    first, before = make(), written(cache)
    assert len(before) == 2
    pd.testing.assert_frame_equal(make().table, first.table)
    assert written(cache) == before
    gone = next(iter(before))
    gone.unlink()
    pd.testing.assert_frame_equal(make().table, first.table)
    assert {file for file, moment in written(cache).items() if moment != before[file]} == {gone}
    other = make(AnalysisSettings(ratios=(1.0,), methods=METHODS)).table
    pd.testing.assert_frame_equal(other, first.table[first.table["ratio"] == 1.0].reset_index(drop=True))
    assert len(written(cache)) == 4


def test_what_is_at_hand_is_what_was_made_last(shifted: Shifted, tmp_path: Path) -> None:
    runs, cache = [shifted({"task": "hip"})], tmp_path / "cache"
    assert read_existing_tables(runs, cache) == {}
    made = make_analysis("quantification_error", runs, SETTINGS, cache).table
    record_settings(cache, "quantification_error", SETTINGS)
    there = read_existing_tables([*runs, shifted({"task": "new"}, 5)], cache)
    assert set(there) == {"quantification", "quantification_error"}
    pd.testing.assert_frame_equal(there["quantification_error"], made)


def test_all_cores_give_what_one_gives(shifted: Shifted, tmp_path: Path) -> None:
    runs = [shifted({"task": task}, seed) for seed, task in enumerate(("hip", "knee"))]
    seen: list[tuple[int, int]] = []
    alone, together = (
        make_analysis(
            "quantification", runs, SETTINGS, tmp_path / str(workers), workers, lambda *at: seen.append(at)
        ).table
        for workers in (1, 2)
    )
    pd.testing.assert_frame_equal(alone, together)
    assert seen == [(0, 2), (1, 2), (2, 2)] * 2


@pytest.mark.parametrize("ratio", [0.5, np.nan, np.inf, "two", True])
def test_ratios_that_are_none(ratio: Any) -> None:
    with pytest.raises(UsageError, match=r"ratios: .* is no ratio"):
        AnalysisSettings(ratios=(ratio,))
