from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from seedfold.results.stages.out_of_fold_figures import draw_oof_figures, thresholds_of_other_folds
from seedfold.results.store.metrics import auroc, average_precision


def table() -> pd.DataFrame:
    draw = np.random.default_rng(4)
    truth = (draw.random(240) < 0.25).astype(int)
    return pd.DataFrame({"target": truth, "pred": draw.random(240) * 0.6 + 0.3 * truth, "fold": np.arange(240) % 3})


def test_curves_tell_the_areas_of_each_fold_and_of_all(tmp_path: Path) -> None:
    drawn = table()
    draw_oof_figures(tmp_path, drawn)
    texts = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert set(texts) == {"roc.svg", "precision_recall.svg", "confusion.svg", "oof_predictions.svg"}
    for name, own in [("all pooled", drawn), *((f"fold {fold}", own) for fold, own in drawn.groupby("fold"))]:
        positive, p = own["target"].to_numpy() == 1, own["pred"].to_numpy()
        assert f"{name}: {auroc(positive, p):.3f}<" in texts["roc.svg"]
        assert f"{name}: {average_precision(positive, p):.3f}<" in texts["precision_recall.svg"]
    areas = [auroc(own["target"].to_numpy() == 1, own["pred"].to_numpy()) for _, own in drawn.groupby("fold")]
    assert f"mean of folds: {np.mean(areas):.3f}<" in texts["roc.svg"]
    for name in ("roc.svg", "precision_recall.svg"):
        assert "Pooled, samples of one fold are also ranked against those of others" in texts[name]
    found = int(((drawn["target"] == 1) & (drawn["pred"] >= 0.5)).sum())
    assert f">{found}<" in texts["confusion.svg"]


def test_a_folds_threshold_is_that_of_the_other_folds() -> None:
    drawn = table()
    found = thresholds_of_other_folds(drawn)
    for fold in range(3):
        [threshold] = np.unique(found[drawn["fold"] == fold])
        others = drawn[drawn["fold"] != fold]
        truth, p = others["target"].to_numpy() == 1, others["pred"].to_numpy()
        gains = [(p[truth] >= each).mean() - (p[~truth] >= each).mean() for each in p]
        assert threshold == p[int(np.argmax(gains))]
    spoiled = drawn.assign(target=drawn["target"].where(drawn["fold"] != 2, 1 - drawn["target"]))
    assert thresholds_of_other_folds(spoiled)[drawn["fold"] == 2].tolist() == found[drawn["fold"] == 2].tolist()
