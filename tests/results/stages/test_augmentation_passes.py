"""Whether more passes of test-time augmentation are better is told from the same samples, and not from chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seedfold.results.stages.augmentation_passes import compare_passes, make_passes_table

GENERATOR = np.random.default_rng(0)
TARGETS = np.repeat([1, 0], [150, 450])
SIGNAL = TARGETS + GENERATOR.normal(size=600)


def table(p: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"target": TARGETS, "pred": p, "fold": np.arange(600) % 3})


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


def test_the_figure_and_the_log_say_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    tables = [table(SIGNAL), table(SIGNAL), table(SIGNAL + 0.5 * TARGETS)]
    rows = [(passes, fold, 0.7 + passes / 100) for passes in (1, 3, 11) for fold in (0, 1, 2, "all")]
    compare_passes(tmp_path, [1, 3, 11], tables, pd.DataFrame(rows, columns=["predict.tta", "fold", "auroc"]))
    drawn = (tmp_path / "passes.svg").read_text()
    for says in (
        "3 passes instead of 1",
        "no difference can be told (95 %: +0.0000 to +0.0000)",
        "better (95 %: +0.",
    ):
        assert says in caplog.text
        assert says in drawn
