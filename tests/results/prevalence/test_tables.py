from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shift_frames import COUNTS, make_predictions

from seedfold.jobs.errors import UsageError
from seedfold.results.prevalence.charts import make_charts
from seedfold.results.prevalence.deployment import PredictedSplits
from seedfold.results.prevalence.quantification import quantification_error_rows, quantification_rows
from seedfold.results.prevalence.quantify import QuantificationProblem, estimate_prevalences
from seedfold.results.prevalence.settings import AnalysisSettings
from seedfold.results.prevalence.tables import (
    AnalysisTable,
    describe_omissions,
    make_analysis,
    read_existing_tables,
    record_settings,
)
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.values import write_values

METHODS = ("CC", "ACC")
SETTINGS = AnalysisSettings(ratios=(1.0, 2.0, 5.0), methods=METHODS)
Shifted = Callable[..., FinishedJob]


@pytest.fixture
def shifted(make_run: Callable[..., FinishedJob]) -> Shifted:
    """Publish a run that predicts the three splits, or those named."""

    def make(
        axes: dict[str, Any],
        seed: int = 0,
        splits: tuple[str, ...] = tuple(COUNTS),
        unlabelled: tuple[str, ...] = (),
        names: dict[str, str] | None = None,
        **changes: Any,
    ) -> FinishedJob:
        frame = make_predictions(seed)
        logits = ["logit_0", "logit_1"]
        parts = {split: frame[frame["split"] == split] for split in splits}
        return make_run(
            axes,
            {
                (names or {}).get(split, split): (
                    part["sample_id"].tolist(),
                    None if split in unlabelled else part["target"].to_numpy(),
                    {"main": part[logits].to_numpy()},
                )
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


def test_costs_of_a_retrained_model_are_those_at_the_estimate_of_the_original_one(
    shifted: Shifted, make_run: Callable[..., FinishedJob], tmp_path: Path
) -> None:
    """As published; its own estimate is an option, and counts where there is no other."""
    original, retrained = shifted({"task": "hip"}, 0), shifted({"task": "hip", "imbalance_ratio": 2.0}, 1)
    estimate = make_run({"task": "hip", "imbalance_ratio": 2.0}, {})
    write_values(estimate.folder, {"estimates": {"ACC": [0.9, 0.1]}, "method": "ACC"})
    blocked = make_run({"task": "knee", "imbalance_ratio": 2.0}, {})
    write_values(blocked.folder, {"blocked": "impossible"})

    def costs(*runs: FinishedJob, priors: str = "original") -> pd.DataFrame:
        settings = AnalysisSettings(ratios=(2.0,), methods=METHODS, retrained_priors=priors)
        table = make_analysis("performance", runs, settings, tmp_path / "cache").table
        return table[(table["metric"] == "ec_estimated") & (table["split"] == "dev_test")].reset_index(drop=True)

    runs = (original, retrained, estimate, blocked)
    published, own, without = costs(*runs), costs(*runs, priors="own"), costs(original, retrained)
    assert own["value"].tolist() == without["value"].tolist()
    of_original = published["imbalance_ratio"].isna()
    assert published["value"][of_original].tolist() == own["value"][of_original].tolist()
    changed = published[~of_original].set_index(["calibration", "priors"])["value"]
    [none] = [value for (method, _), value in changed.items() if method == "none"]
    frame = make_predictions(1)
    tested = frame[frame["split"] == "dev_test"]
    wrong = tested["logit_1"].gt(tested["logit_0"]).astype(int) != tested["target"]
    rates = wrong.groupby(tested["target"]).mean()
    assert none == pytest.approx(0.9 * rates[0] + 0.1 * rates[1], abs=1e-6)
    with pytest.raises(UsageError, match=r"retrained_priors: 'mine' is not one of original, own"):
        AnalysisSettings(retrained_priors="mine")


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


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing of it", None])
def test_a_damaged_part_is_computed_again(shifted: Shifted, tmp_path: Path, content: bytes | None) -> None:
    runs, cache = [shifted({"task": task}, seed) for seed, task in enumerate(("hip", "knee"))], tmp_path / "cache"
    first = make_analysis("quantification", runs, SETTINGS, cache).table
    damaged, whole = written(cache)
    before = damaged.read_bytes()
    # A byte that has changed among the values is found by its page's checksum.
    middle = len(before) // 8
    flipped = before[:middle] + bytes([before[middle] ^ 0xFF]) + before[middle + 1 :]
    damaged.write_bytes(flipped if content is None else content)
    (cache / "latest.json").write_text('{"quantification": {"rat')
    untouched = written(cache)[whole]
    pd.testing.assert_frame_equal(make_analysis("quantification", runs, SETTINGS, cache).table, first)
    assert written(cache)[whole] == untouched
    assert damaged.read_bytes() == before
    record_settings(cache, "quantification", SETTINGS)
    pd.testing.assert_frame_equal(read_existing_tables(runs, cache)["quantification"], first)
    damaged.write_bytes(b"")
    assert len(read_existing_tables(runs, cache)["quantification"]) == len(first) / 2


def test_of_a_deployment_without_labels_the_prevalences_are_estimated(shifted: Shifted, tmp_path: Path) -> None:
    settings = AnalysisSettings(ratios=(1.0,), methods=("CC", "PCC", "ACC", "EMQ"))
    known, clinic = shifted({"task": "hip"}), shifted({"task": "clinic"}, unlabelled=("app_test",))
    alone = shifted({"task": "alone"}, splits=("app_test",), unlabelled=("app_test",))
    found = make_analysis("quantification", [known, clinic, alone], settings, tmp_path / "cache")
    table = found.table.set_index(["task", "method", "class"]).sort_index()
    assert table.loc["hip", "ratio"].unique().tolist() == [1.0]
    assert table.loc[["clinic", "alone"], ["ratio", "prevalence"]].isna().all(axis=None)
    assert table.loc["clinic", "n"].unique().tolist() == [sum(COUNTS["app_test"])]
    splits = PredictedSplits.read([known.folder])
    whole = QuantificationProblem(splits.dev_test, splits.app_test, [np.arange(sum(COUNTS["app_test"]))])
    for method in settings.methods:
        assert table.loc[("clinic", method), "estimate"].tolist() == estimate_prevalences(method, whole)[0].tolist()
    assert table.loc["alone", "estimate"].notna().groupby("method").all().to_dict() == {
        "ACC": False, "CC": True, "EMQ": False, "PCC": True
    }  # fmt: skip
    assert list(describe_omissions(found)) == [
        "2 jobs have no labels in app_test: prevalences are estimated there, but their error is not known",
        "1 of these jobs has no labelled dev_test: only CC and PCC can be estimated, which need no labels",
    ]
    errors = make_analysis("quantification_error", [known, clinic], settings, tmp_path / "cache")
    assert errors.table["task"].unique().tolist() == ["hip"]
    assert list(describe_omissions(errors)) == [
        "1 job has no labels in app_test: left out; the table quantification estimates prevalences there"
    ]
    with pytest.raises(UsageError, match="calibration: app_test has no labels, and calibration needs them"):
        make_analysis("calibration", [clinic, alone], settings, tmp_path / "cache")
    assert list(make_charts({"quantification": found.table[found.table["task"] == "clinic"]})) == []


def test_splits_of_other_names_are_found_where_these_are_told(shifted: Shifted, tmp_path: Path) -> None:
    names = {"dev_cal": "val", "dev_test": "test", "app_test": "clinic"}
    own, other = shifted({"task": "hip"}), shifted({"task": "hip", "named": "otherwise"}, names=names)
    with pytest.raises(UsageError, match=r"there are clinic, test, val: name them with --split dev_cal=NAME"):
        make_analysis("calibration", [other], SETTINGS, tmp_path / "cache")
    settings = replace(SETTINGS, splits=AnalysisSettings.names_of_splits(names))
    found = make_analysis("calibration", [other], settings, tmp_path / "cache").table
    expected = make_analysis("calibration", [own], SETTINGS, tmp_path / "cache").table
    pd.testing.assert_frame_equal(found.drop(columns="named"), expected)
    record_settings(tmp_path / "cache", "calibration", settings)
    assert len(read_existing_tables([other], tmp_path / "cache")["calibration"]) == len(expected)
    with pytest.raises(UsageError, match=r"splits: 'dev_tset' is not one of .* \(did you mean 'dev_test'\?\)"):
        AnalysisSettings.names_of_splits({"dev_tset": "val"})
    with pytest.raises(UsageError, match="need three different names"):
        AnalysisSettings(splits=AnalysisSettings.names_of_splits({"dev_cal": "dev_test"}))


def test_what_is_at_hand_is_what_was_made_last(shifted: Shifted, tmp_path: Path) -> None:
    runs, cache = [shifted({"task": "hip"})], tmp_path / "cache"
    assert read_existing_tables(runs, cache) == {}
    made = make_analysis("quantification_error", runs, SETTINGS, cache).table
    record_settings(cache, "quantification_error", SETTINGS)
    there = read_existing_tables([*runs, shifted({"task": "new"}, 5)], cache)
    assert set(there) == {"quantification", "quantification_error"}
    pd.testing.assert_frame_equal(there["quantification_error"], made)


@pytest.mark.slow
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
    with pytest.raises(UsageError, match=r"ratios: .* is not a ratio"):
        AnalysisSettings(ratios=(ratio,))
