"""The metrics of a command: from lines of its output, or from a JSON or CSV file that it leaves."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seedfold.jobs.command import MetricSource
from seedfold.jobs.work import DataFailure
from seedfold.results.recording.current_run import CurrentRun


class LineMetrics:
    """Logs the metrics of each line that fits the pattern; without a group for the step, lines are counted from 0."""

    def __init__(self, source: MetricSource, run: CurrentRun) -> None:
        self._source, self._run = source, run
        self._count = 0

    def read_line(self, text: str) -> None:
        """Log the metrics of a line, if it has some. Raises DataFailure for a group that holds no number."""
        found = self._source.pattern.search(text) if self._source.pattern else None
        if found is None:
            return
        values = {name: value for name, value in found.groupdict().items() if value is not None}
        step = values.pop(self._source.step, None)
        place = f"metrics.pattern, line {text[:80]!r}"
        numbers = {name: _to_number(place, name, value) for name, value in values.items()}
        self._run.log(numbers, step=self._count if step is None else int(_to_number(place, self._source.step, step)))
        self._count += 1


def log_metrics_file(run: CurrentRun, source: MetricSource, launch_folder: Path) -> None:
    """Log what the file holds: metrics, or rows of metrics. Raises DataFailure if it is not there or not readable."""
    file = _find_file(run, source, launch_folder)
    try:
        rows = list(_read_rows(file))
    except (ValueError, csv.Error) as error:
        raise DataFailure(f"metrics.file: {file} cannot be read: {error}") from error
    for row in rows:
        step = row.pop(source.step, None)
        place = f"metrics.file: {file}"
        numbers = {name: _to_number(place, name, value) for name, value in row.items() if value not in (None, "")}
        run.log(numbers, step=None if step is None else int(_to_number(place, source.step, step)))


def _find_file(run: CurrentRun, source: MetricSource, launch_folder: Path) -> Path:
    """Return the file: in the folder of the job, or with a name of its own in the folder of the launch."""
    assert source.file is not None
    if (run.folder / source.file).exists():
        return run.folder / source.file
    other = launch_folder / source.file
    if other.exists() and _names_job(source.file, run):
        return other
    if other.exists():
        raise DataFailure(
            f"metrics.file: {other} is not read, because all jobs of the study write it: let the command write it to"
            " {folder} ($SEEDFOLD_FOLDER)"
        )
    raise DataFailure(f"metrics.file: the command left no {source.file} in its folder {run.folder}")


def _names_job(name: str, run: CurrentRun) -> bool:
    """Whether the name of a file differs from job to job: it holds the values of all axes, or there is one job."""
    return all(str(value) in name for value in run.axes.values())


def _read_rows(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix == ".csv":
        with file.open(newline="", encoding="utf-8") as stream:
            yield from csv.DictReader(stream)
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    for row in content if isinstance(content, list) else [content]:
        if not isinstance(row, dict):
            raise ValueError(f"{row!r} is not a mapping of metrics")
        yield dict(_flatten(row))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings, with slashes between the keys: ``{"val": {"loss": 1}}`` is ``val/loss``."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def _to_number(place: str, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataFailure(f"{place}: {name} is {value!r}, which is not a number") from None
