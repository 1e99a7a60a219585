"""``seedfold report STUDY``: one HTML page that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.views.report_page import write_study_report
from seedfold.results.store.named_output import is_stream, refuse_folder


@click.command()
@options.study
@click.option("--out", metavar="FILE", help="File to write; default: outputs/report.html in the study's folder.")
@options.with_removed
@options.across
@options.selection
@options.common
def command(
    study: str,
    out: str | None,
    with_removed: bool,
    across: str | None,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Write a report with tables and figures as one HTML page, and print its path.

    The report of some of the jobs is outputs/report_selected.html, and says which jobs these are.
    """
    overview = Overview(root, study, with_removed=with_removed, only=Selection.parse(where, stages, limit))
    if out is not None:
        refuse_folder("--out", Path(out))
    written = write_study_report(overview, Path(out).absolute() if out else None, across == "code")
    if not is_stream(written):
        print_text(str(written))
