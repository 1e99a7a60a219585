from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seedfold.results.evaluation.overlaps import METRICS, Overlap
from seedfold.trainers.studies.dark_side.mask_results import (
    NEW_PART,
    TEST_PART,
    OverlapRow,
    VolumeRow,
    make_mask_metrics,
    read_overlaps,
    read_volumes,
    sum_by_pass,
    write_tables,
)


def test_scores_are_those_of_all_voxels_together() -> None:
    found, true = np.asarray([[1, 1, 0, 0], [0, 1, 0, 1]], bool), np.asarray([[1, 0, 0, 1], [0, 1, 1, 0]], bool)
    whole = Overlap.from_masks(found[:1], true[:1]) + Overlap.from_masks(found[1:], true[1:])
    assert whole == Overlap.from_masks(found, true) == Overlap(2, 4, 4)
    assert {name: metric(whole) for name, metric in METRICS.items()} == pytest.approx(
        {"dice": 4 / 8, "jaccard": 2 / 6, "precision": 2 / 4, "recall": 2 / 4}
    )
    assert [metric(Overlap()) for metric in METRICS.values()] == [1.0] * 4, "nothing there and nothing found"
    assert Overlap(0, 0, 3).dice == 0


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    volumes = [VolumeRow(TEST_PART, "a", 2), VolumeRow(NEW_PART, "b, c", 2)]
    rows = [
        OverlapRow("a", "one", 0, "mirrored", 1, 2, 3),
        OverlapRow("b", "one", 0, "mirrored", 1, 1, 1),
        OverlapRow("a", "two", 1, "original", 0, 1, 2),
        OverlapRow("a", "mean", None, None, 2, 3, 4),
    ]
    write_tables(tmp_path, volumes, rows)
    assert (read_volumes(tmp_path), read_overlaps(tmp_path)) == (volumes, rows)
    assert sum_by_pass(rows)["one", 0, "mirrored"] == Overlap(2, 3, 4)
    heads = {record["head"]: record["value"] for record in make_mask_metrics(rows) if record["metric"] == "dice"}
    assert heads == pytest.approx({"one axis 0 mirrored": 4 / 7, "two axis 1 original": 0.0, "mean": 4 / 7})
    (tmp_path / "new").mkdir()
    write_tables(tmp_path / "new", volumes, [])
    assert read_overlaps(tmp_path / "new") == []
