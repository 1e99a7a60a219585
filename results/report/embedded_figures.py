"""Figures that jobs left among their files for people, for the report: embedded whole, on white, for their colours."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from seedfold.jobs.work import OUTPUTS
from seedfold.results.evaluation.axes import axes_text
from seedfold.results.report.figures import Figure
from seedfold.results.store.finished_job import Run

MOST = 24
"""Figures that a report shows."""
LARGEST = 8 * 1024**2
"""Bytes of a file that is embedded."""
_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def left_figures(runs: Sequence[Run]) -> list[Figure]:
    """Return the figures that runs left, in their order, as many as a report shows."""
    files = [(run, file) for run in runs for file in _files(run.folder)]
    return [_figure(run, file) for run, file in files[:MOST]]


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted((folder / OUTPUTS).glob("*.*")):
        if file.suffix in _TYPES and file.stat().st_size <= LARGEST:
            yield file


def _figure(run: Run, file: Path) -> Figure:
    title = file.stem.replace("_", " ")
    content = base64.b64encode(file.read_bytes()).decode()
    image = f'<img alt="{escape(title)}" src="data:{_TYPES[file.suffix]};base64,{content}">'
    place = axes_text(run.axes)
    return Figure(title, image, f"Left by stage {run.stage}{f', {place}' if place else ''}, as {file.name}.")
