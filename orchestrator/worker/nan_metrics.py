"""How a result with a metric that is not a number is treated, according to ``failures.nan``."""

from __future__ import annotations

import json
from pathlib import Path

from seedfold.jobs.work import NonFiniteFailure
from seedfold.orchestrator.settings.failures import NanPolicy
from seedfold.results.store.published import RETURNED, RUN_METRICS_FILE, MetricRecord, nan_metrics


def refuse_nan_metrics(staging: Path, policy: NanPolicy) -> None:
    """Raise NonFiniteFailure if a job computed metrics that are not a number, unless the policy keeps them.

    ``auto`` keeps them, except where the only metric is what a program returned: nothing is left of such a result.
    """
    records = _read_records(staging) if policy != "keep" else []
    names = nan_metrics(records)
    only_returned = len(records) == 1 and records[0]["split"] == RETURNED
    if names and (policy == "fail" or only_returned):
        what = "the returned value" if only_returned else ", ".join(names)
        raise NonFiniteFailure(f"{what} is nan; failures.nan=keep keeps such results")


def nan_metrics_in(staging: Path) -> list[str]:
    """Name the metrics that a job computed and that are not a number."""
    return list(nan_metrics(_read_records(staging)))


def _read_records(staging: Path) -> list[MetricRecord]:
    file = staging / RUN_METRICS_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
