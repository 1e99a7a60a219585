"""Figures that jobs wrote, embedded in the report as they are, on white because of their colours."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator, Sequence
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
MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_LAST = ("learning", "schedule")
_HEAD_BYTES = 4096
_PNG_WIDTH = slice(16, 20)
"""Where a PNG file has its width: PNG specification (ISO/IEC 15948), the header chunk IHDR."""


def figures_left_by_jobs(
    runs: Sequence[FinishedJob], shown: Collection[Path] = (), drawn: Collection[str] = ()
) -> list[Figure]:
    """Return the figures that runs wrote, in the order of the runs, as many as a report shows.

    Those in ``shown`` are left out, and those whose names are in ``drawn``, because the report draws the same; learning
    curves and schedules come last.
    """
    files = [
        (run, file)
        for run in runs
        for file in _find_figure_files(run.folder)
        if file not in shown and file.name not in drawn
    ]
    files.sort(key=lambda found: found[1].stem in _LAST)
    return [embed_figure(run, file) for run, file in files[:MAX_FIGURES]]


def _find_figure_files(folder: Path) -> Iterator[Path]:
    for file in sorted((folder / OUTPUTS).glob("*.*")):
        if file.suffix in MEDIA_TYPES and file.stat().st_size <= MAX_BYTES:
            yield file


def embed_figure(run: FinishedJob, file: Path) -> Figure:
    """Return a figure that a run wrote, as wide on the page as it was drawn."""
    name = file.stem.replace("_", " ")
    title = run.stage if name == run.stage else f"{run.stage}: {name}"
    content = base64.b64encode(file.read_bytes()).decode()
    image = f'<img alt="{escape(title)}" src="data:{MEDIA_TYPES[file.suffix]};base64,{content}">'
    axes = format_axes(run.axes)
    caption = f"Left by stage {run.stage}{f', {axes}' if axes else ''}, as {file.name}."
    return Figure(title, image, caption, detail=axes, width=_drawn_width(file))


def _drawn_width(file: Path) -> int | None:
    """Return how wide a figure was drawn, in CSS pixels of 96 an inch; None where the file does not say so."""
    if file.suffix == ".svg":
        found = re.search(rb'<svg[^>]*?\swidth="([\d.]+)(pt|px)?"', file.read_bytes()[:_HEAD_BYTES])
        return round(float(found[1]) * (96 / 72 if found[2] == b"pt" else 1)) if found else None
    head = file.read_bytes()[: _PNG_WIDTH.stop]
    return int.from_bytes(head[_PNG_WIDTH], "big") if len(head) == _PNG_WIDTH.stop else None
