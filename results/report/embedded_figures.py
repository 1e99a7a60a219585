"""Figures that jobs wrote, embedded in the report as they are, on white because of their colours."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from seedfold.jobs.work import OUTPUTS
from seedfold.results.evaluation.axes import format_axes
from seedfold.results.report.figures import Figure
from seedfold.results.store.finished_job import FinishedJob

MAX_FIGURES = 24
"""The largest number of figures that a report shows."""
MAX_BYTES = 8 * 1024**2
"""The largest size of an embedded file, in bytes."""
_MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def figures_left_by_jobs(runs: Sequence[FinishedJob]) -> list[Figure]:
    """Return the figures that runs wrote, in the order of the runs, as many as a report shows."""
    files = [(run, file) for run in runs for file in _find_figure_files(run.folder)]
    return [_embed_figure(run, file) for run, file in files[:MAX_FIGURES]]


def _find_figure_files(folder: Path) -> Iterator[Path]:
    for file in sorted((folder / OUTPUTS).glob("*.*")):
        if file.suffix in _MEDIA_TYPES and file.stat().st_size <= MAX_BYTES:
            yield file


def _embed_figure(run: FinishedJob, file: Path) -> Figure:
    title = file.stem.replace("_", " ")
    content = base64.b64encode(file.read_bytes()).decode()
    image = f'<img alt="{escape(title)}" src="data:{_MEDIA_TYPES[file.suffix]};base64,{content}">'
    axes = format_axes(run.axes)
    return Figure(title, image, f"Left by stage {run.stage}{f', {axes}' if axes else ''}, as {file.name}.")
