from __future__ import annotations

import json
from pathlib import Path

import pytest

from seedfold.jobs.work import NonFiniteFailure
from seedfold.orchestrator.settings.failures import NanPolicy
from seedfold.orchestrator.worker.nan_metrics import refuse_nan_metrics
from seedfold.results.store.published import RUN_METRICS_FILE

NAN = float("nan")
ONE = [("return", "value", NAN)]
SEVERAL = [("return", "loss", NAN), ("return", "accuracy", 0.5)]
OF_A_STAGE = [("val", "loss", NAN)]


def write(staging: Path, rows: list[tuple[str, str, float | None]]) -> Path:
    records = [{"split": split, "head": "main", "metric": metric, "value": value} for split, metric, value in rows]
    (staging / RUN_METRICS_FILE).write_text(json.dumps(records))
    return staging


@pytest.mark.parametrize(
    ("policy", "rows", "says"),
    [
        ("auto", ONE, "the returned value is nan; failures.nan=keep keeps such results"),
        ("fail", ONE, "the returned value is nan"),
        ("fail", SEVERAL, "loss is nan"),
        ("fail", OF_A_STAGE, "val loss is nan"),
    ],
)
def test_a_result_without_a_number_is_refused(
    tmp_path: Path, policy: NanPolicy, rows: list[tuple[str, str, float | None]], says: str
) -> None:
    with pytest.raises(NonFiniteFailure, match=says):
        refuse_nan_metrics(write(tmp_path, rows), policy)


@pytest.mark.parametrize(
    ("policy", "rows"),
    [
        ("auto", SEVERAL),
        ("auto", OF_A_STAGE),
        ("keep", ONE),
        ("fail", [("val", "auroc", None), ("val", "loss", 1.0)]),
        ("auto", [("return", "value", float("inf"))]),
    ],
)
def test_other_results_are_kept(tmp_path: Path, policy: NanPolicy, rows: list[tuple[str, str, float | None]]) -> None:
    refuse_nan_metrics(write(tmp_path, rows), policy)


def test_a_result_without_metrics_of_its_own_is_kept(tmp_path: Path) -> None:
    refuse_nan_metrics(tmp_path, "fail")
