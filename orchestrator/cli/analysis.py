"""The tables of prevalence shift on a terminal: options, a progress bar while they are computed, means for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli.console import print_note, print_text
from seedfold.orchestrator.cli.table_output import TableOutput
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.views.prevalence_tables import compute_analysis
from seedfold.results.prevalence.settings import AnalysisSettings
from seedfold.results.prevalence.tables import describe_omissions

if TYPE_CHECKING:
    import pandas as pd

MEASURED = ("value", "estimate", "prevalence", "cwce", "rbs", "bs", "nbs", "mean", "sd")
"""Columns that `--round` rounds; ratios, thresholds and axes keep every digit."""


def parse_settings(
    ratios: str | None, methods: str | None, zeros: str | None, base_seed: int | None, splits: Sequence[str]
) -> AnalysisSettings:
    """Read the options. Raises UsageError for a ratio, a method or a split that does not exist."""
    return AnalysisSettings.from_options(
        splits=_parse_splits(splits) if splits else None,
        ratios=None if ratios is None else _parse_ratios(ratios),
        methods=None if methods is None else tuple(name.strip() for name in methods.split(",")),
        zeros=zeros,
        base_seed=base_seed,
    )


def _parse_splits(texts: Sequence[str]) -> tuple[str, ...]:
    names: dict[str, str] = {}
    for text in texts:
        split, equals, name = text.partition("=")
        if not equals or not name or split in names:
            raise UsageError(
                f"--split {text}: in this table it names a split of the study, each of dev_cal, dev_test and app_test "
                "once: --split app_test=NAME"
            )
        names[split] = name
    return AnalysisSettings.names_of_splits(names)


def _parse_ratios(text: str) -> tuple[float, ...]:
    from seedfold.jobs.axis_values import override_values
    from seedfold.jobs.compose import Composer

    [override] = Composer().parse_overrides([f"ratios={text}"])
    values = override_values(override)
    return tuple(values[0] if len(values) == 1 and isinstance(values[0], list) else values)


def make_prevalence_table(
    overview: Overview,
    name: str,
    settings: AnalysisSettings,
    where: str,
    by: Sequence[str],
    across_code: bool = False,
) -> tuple[pd.DataFrame, list[str]]:
    """Return the table, with a progress bar while it is computed, and notes on what it leaves out."""
    with _progress_bar(f"{overview.folder.name} {name}") as progress:
        analysis, finished = compute_analysis(overview, name, settings, where, progress, by, across_code)
    return analysis.table, [*describe_omissions(analysis), *finished.notes(overview.folder.name)]


@contextmanager
def _progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def write_table(
    name: str, table: pd.DataFrame, by: Sequence[str], output: TableOutput, notes_below: Sequence[str]
) -> None:
    """Write a table: its means, or every row if it is for programs and ``by`` is empty."""
    from seedfold.results.prevalence.table_means import PEERS, summarise_table

    if table.empty:
        print_notes(notes_below)
        tasks = "task of two classes" if name == "decisions" else "task"
        raise UsageError(f"{name}: the table is empty, because no ratio is possible for any {tasks}")
    exact = [str(column) for column in table.columns if column not in MEASURED]
    if output.is_for_programs and not by:
        output.write(table, exact, notes=notes_below)
        return
    groups = [column for column in ("stage", "task", "ratio", *by) if column in table]
    frame = summarise_table(name, table, by)
    fewer = ["a mean marked as (5 of 6) leaves out values that are undefined, or is over fewer tasks or ratios"]
    notes = [*notes_below, *(fewer if (frame["n"] < frame["expected"]).any() else [])]
    output.write(frame, exact, [*groups, *PEERS.get(name, ())], notes=notes)
    if output.is_on_terminal:
        print_text(_means_of(name, table, by), style="dim")


def _means_of(name: str, table: pd.DataFrame, by: Sequence[str]) -> str:
    """A note that says over what the printed means are."""
    averaged = [column for column in ("task", "ratio") if column not in by]
    if name == "quantification" and not by:
        return "each task and ratio by itself, mean over its jobs; --format csv has each row"
    counts = [count_noun(max(1, table[column].nunique()), column) for column in averaged]
    return f"mean ± standard deviation over {' and '.join(counts) or 'jobs'}; --format csv has each row"


def print_notes(lines: Sequence[str]) -> None:
    """Print on standard error what a table leaves out."""
    for line in lines:
        print_note(line)
