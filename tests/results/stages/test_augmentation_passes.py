"""Whether more passes of test-time augmentation are better is told from the same samples, within folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seedfold.results.stages.augmentation_passes import compare_passes, make_passes_table
from seedfold.results.store.metrics import auroc

GENERATOR = np.random.default_rng(0)
TARGETS = np.repeat([1, 0], [150, 450])
FOLDS = np.arange(600) % 3
SIGNAL = TARGETS + GENERATOR.normal(size=600)


def table(p: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"target": TARGETS, "pred": p, "fold": FOLDS})


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        (SIGNAL + 0.5 * TARGETS, "better"),
        (SIGNAL - 0.5 * TARGETS, "worse"),
        (SIGNAL + GENERATOR.normal(scale=0.05, size=600), "no difference can be told"),
    ],
)
def test_a_difference_is_told_where_samples_show_one(more: np.ndarray, verdict: str) -> None:
    [row] = make_passes_table([1, 11], [table(SIGNAL), table(more)]).to_dict("records")
    assert row["verdict"] == verdict
    assert row["low"] <= row["gain"] <= row["high"]
    assert row["gain"] == pytest.approx(row["auroc"] - row["auroc_instead_of"])
    assert (row["passes"], row["instead_of"]) == (11, 1)
    areas = [auroc(own["target"] == 1, own["pred"].to_numpy()) for _, own in table(more).groupby("fold")]
    assert row["auroc"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert row["pooled"] == pytest.approx(auroc(TARGETS == 1, more), abs=1e-12)


def test_scales_that_line_up_do_not_make_worse_folds_better() -> None:
    """With one pass each fold has a scale of its own; more passes share one, and rank each fold a little worse."""
    apart, together = SIGNAL + 4.0 * FOLDS, SIGNAL - 0.4 * TARGETS
    [row] = make_passes_table([1, 5], [table(apart), table(together)]).to_dict("records")
    assert row["pooled"] > row["pooled_instead_of"]
    assert (row["verdict"], row["folds_better"], row["folds"]) == ("worse", 0, 3)


def test_folds_that_lack_a_class_are_left_out() -> None:
    folds = np.where(TARGETS == 1, FOLDS % 2, FOLDS)
    tables = [table(p).assign(fold=folds) for p in (SIGNAL, SIGNAL + 0.5 * TARGETS)]
    [row] = make_passes_table([1, 11], tables).to_dict("records")
    assert (row["folds"], row["verdict"]) == (2, "better")


def test_the_figure_and_the_log_say_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    tables = [table(SIGNAL), table(SIGNAL), table(SIGNAL + 0.5 * TARGETS)]
    rows = [(passes, fold, 0.7 + passes / 100) for passes in (1, 3, 11) for fold in (0, 1, 2, "mean", "all")]
    compare_passes(tmp_path, [1, 3, 11], tables, pd.DataFrame(rows, columns=["predict.tta", "fold", "auroc"]))
    drawn = (tmp_path / "passes.svg").read_text()
    for says in (
        "3 passes instead of 1: mean AUC of the folds",
        "no difference can be told (95 %: +0.0000 to +0.0000), higher in 0 of 3 folds",
        "better (95 %: +0.",
        "all folds pooled: ",
        "samples of one fold are also ranked against those of others",
    ):
        assert says in caplog.text
        assert says in drawn
