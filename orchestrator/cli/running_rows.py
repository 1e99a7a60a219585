"""The running jobs on a terminal: how far each is, its metric and the trend of it, and where it runs."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from seedfold.jobs.terminal_text import terminal_text
from seedfold.orchestrator.cli.console import align_rows
from seedfold.orchestrator.state.axes_text import axes_text
from seedfold.orchestrator.state.running_jobs import RunningJob
from seedfold.results.evaluation.axes import short_names

_INDENT = "  "


def running_rows(running: Sequence[RunningJob], width: int, axes: Collection[str], with_stage: bool) -> list[list[str]]:
    """The lines of each job: one in columns, or several in words if the columns are too wide for the terminal.

    ``axes`` are those that tell the jobs of the study apart. They are named by their last component where that is
    clear.
    """
    names = short_names(list(dict.fromkeys(name for job in running for name in job.job.axes if name in axes)))
    addresses = [terminal_text(_address(job, names, with_stage)) for job in running]
    cells = [
        [_INDENT + address, epoch_text(job), terminal_text(metric_text(job)), terminal_text(job.place)]
        for address, job in zip(addresses, running, strict=True)
    ]
    filled = [column for column in zip(*cells, strict=True) if any(column)]
    columns = align_rows(list(zip(*filled, strict=True)), right=()) if cells else []
    if all(len(text) <= width for text in columns):
        return [[text] for text in columns]
    return [_in_words(row, width) for row in cells]


def epoch_text(job: RunningJob) -> str:
    """How far a job is: ``4 of 10``; what it has done if it does not say how much there is."""
    if job.epoch is None:
        return ""
    return f"{job.epoch} of {job.epochs}" if job.epochs else f"{job.epoch} done"


def metric_text(job: RunningJob) -> str:
    """The metric that a job watches, and whether it went up or down: ``val_loss 0.312 ↓``."""
    if job.metric is None or job.value is None:
        return ""
    if job.previous is None or job.value == job.previous:
        return f"{job.metric} {job.value:.4g}"
    return f"{job.metric} {job.value:.4g} {'↑' if job.value > job.previous else '↓'}"


def _address(job: RunningJob, names: dict[str, str], with_stage: bool) -> str:
    axes = axes_text({names[name]: value for name, value in job.job.axes.items() if name in names})
    stage = job.job.stage if with_stage or not axes else ""
    return f"{stage} {axes}".strip()


def _in_words(row: Sequence[str], width: int) -> list[str]:
    address, *details = row
    texts = [address.strip(), ", ".join(filter(None, details))]
    lines: list[str] = []
    for text, indent in zip(texts, (_INDENT, _INDENT * 2), strict=True):
        lines += textwrap.wrap(
            text, width, initial_indent=indent, subsequent_indent=_INDENT * 3, break_on_hyphens=False
        )
    return lines
