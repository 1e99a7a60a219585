"""The tables of prevalence shift on a terminal: options, a bar while they are computed, means to read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.state.finished_jobs import count_stale
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.views.prevalence_tables import compute_analysis
from seedfold.results.prevalence.settings import AnalysisSettings
from seedfold.results.prevalence.tables import describe_omissions

if TYPE_CHECKING:
    import pandas as pd


def parse_settings(
    ratios: str | None, methods: str | None, zeros: str | None, base_seed: int | None
) -> AnalysisSettings:
    """Read the options. Raises UsageError for a ratio or a method that there is not."""
    return AnalysisSettings.from_options(
        ratios=None if ratios is None else _parse_ratios(ratios),
        methods=None if methods is None else tuple(methods.split(",")),
        zeros=zeros,
        base_seed=base_seed,
    )


def _parse_ratios(text: str) -> tuple[float, ...]:
    from seedfold.jobs.compose import Composer
    from seedfold.jobs.grammar import override_values

    [override] = Composer().parse_overrides([f"ratios={text}"])
    values = override_values(override)
    return tuple(values[0] if len(values) == 1 and isinstance(values[0], list) else values)


def make_prevalence_table(overview: Overview, name: str, settings: AnalysisSettings, where: str) -> pd.DataFrame:
    """Return the table, with a bar on a terminal while it is computed; what it leaves out is told."""
    with _progress_bar(f"{overview.folder.name} {name}") as progress:
        analysis, runs = compute_analysis(overview, name, settings, where, progress)
    for note in [*describe_omissions(analysis), *_stale_notes(overview, runs)]:
        print(f"seedfold: {note}", file=sys.stderr)
    return analysis.table


def _stale_notes(overview: Overview, runs: Sequence[object]) -> Iterator[str]:
    count = count_stale(runs)  # type: ignore[arg-type]
    if count:
        yield f"stale: {count} of {len(runs)} results; see seedfold status {overview.folder.name}"


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


def print_means(name: str, table: pd.DataFrame) -> None:
    """Print the means over tasks, ratios and everything else that is not what the table compares."""
    from seedfold.orchestrator.cli.frames import print_frame
    from seedfold.results.prevalence.means import summarise_table

    if table.empty:
        tasks = "task of two classes" if name == "decisions" else "task"
        raise UsageError(f"{name}: no ratio is possible for any {tasks}, so there are no rows")
    print_frame(summarise_table(name, table))
    over = f"{count_noun(table['task'].nunique(), 'task')} and {count_noun(table['ratio'].nunique(), 'ratio')}"
    print_text(f"mean ± standard deviation over {over}; --format csv has each row", style="dim")
