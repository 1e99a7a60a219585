"""The metrics of published results, each read once: a published result never changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from sys import intern
from typing import Any

from seedfold.orchestrator.state.overview import JobView
from seedfold.results.store.published import RETURNED, DamagedError, MetricRecord, Result, load_result

Values = Mapping[str, float | None]
_NO_VALUES: Values = {}


class KeptResults:
    """What results say, without the parts that are large: their configuration, files and provenance."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, int], Result] = {}
        self._values: dict[tuple[str, int], Values] = {}

    def result_of(self, view: JobView) -> Result | None:
        """The result of a job that is done; None for any other, and for one that cannot be read."""
        if view.state != "done":
            return None
        key = view.id, view.attempt
        return self._results.get(key) or self.read(*key, view.result_folder)

    def read(self, job: str, attempt: int, folder: Path) -> Result | None:
        """The result that an attempt has published in a folder; None if it cannot be read."""
        known = self._results.get((job, attempt))
        if known is None:
            try:
                known = self._results[job, attempt] = _without_large_parts(load_result(folder))
            except DamagedError:
                # It may be there again a moment later, on a file system that was slow to show it.
                return None
        return known

    def values_of(self, view: JobView) -> Values:
        """The metrics that the report shows, by the names of their columns in `seedfold results STUDY runs`."""
        key = view.id, view.attempt
        if key in self._values:
            return self._values[key]
        from seedfold.results.report.headline import shown_metrics

        result = self.result_of(view)
        if result is None:
            return _NO_VALUES
        several = len({each["head"] for each in result.metrics} - {RETURNED}) > 1
        self._values[key] = {intern(metric_key(each, several)): each["value"] for each in shown_metrics(result)}
        return self._values[key]

    def are_read(self, views: Iterable[JobView]) -> bool:
        """Whether the metrics of all these jobs are known already."""
        return all((view.id, view.attempt) in self._values for view in views if view.state == "done")

    def names(self, views: Iterable[JobView]) -> list[str]:
        """The names of the metrics of jobs, in the order in which they first occur."""
        return list(dict.fromkeys(name for view in views for name in self.values_of(view)))


def metric_key(each: MetricRecord, several_heads: bool) -> str:
    """The name of a metric's column; what a program returned or logged has a name of its own choice."""
    from seedfold.results.tables.result_tables import metric_column

    return each["metric"] if each["split"] == RETURNED else metric_column(each, several_heads)


def _without_large_parts(result: Result) -> Result:
    metrics = tuple(
        MetricRecord(
            split=intern(str(each["split"])),
            head=intern(str(each["head"])),
            metric=intern(str(each["metric"])),
            value=each["value"],
        )
        for each in result.metrics
    )
    small: dict[str, Any] = {name: {} for name in ("axes", "config", "parents", "files", "resolved", "provenance")}
    return replace(result, metrics=metrics, reads=None, code=None, **small)
