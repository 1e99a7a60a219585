"""``seedfold results STUDY [TABLE]``: what came out, to read or as a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from seedfold.jobs.errors import UsageError, counted
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import say
from seedfold.orchestrator.layout import Root
from seedfold.orchestrator.overview import Overview
from seedfold.orchestrator.runs import finished_runs, stale_runs
from seedfold.orchestrator.tables import TABLES, TableRequest, table

_FORMATS = ("csv", "json", "parquet")


@click.command()
@options.study
@click.argument("name", metavar="[TABLE]", type=options.Choice(TABLES), default="metrics")
@click.option("--format", "format", type=options.Choice(_FORMATS), help="For other programs; else a table to read.")
@click.option("--out", metavar="FILE", help="Write to a file; its ending tells the format.")
@click.option("--by", metavar="AXIS", multiple=True, help="metrics: means by these axes; repeatable.")
@click.option("--min-accuracy", type=float, metavar="X", help="top: least validation accuracy of a member; else 0.6.")
@click.option("--rank-by", metavar="METRIC", help="top: what ranks the members; auroc unless given.")
@click.option("--member", "members", metavar="WHERE", multiple=True, help="top: these, e.g. 'seed=0 head=last'.")
@click.option("--over", metavar="AXIS", multiple=True, help="The axes that means, folds or ensembles run over.")
@click.option("--split", "splits", metavar="SPLIT", multiple=True, help="Only this split; repeatable.")
@click.option("--partial", is_flag=True, help="oof, ensemble: take what is there where folds or members are missing.")
@options.selecting
@options.common
def command(
    study: str,
    name: str,
    format: str | None,
    out: str | None,
    by: Sequence[str],
    min_accuracy: float | None,
    rank_by: str | None,
    members: Sequence[str],
    over: Sequence[str],
    splits: Sequence[str],
    partial: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Print or write a TABLE of a study: runs, metrics (default), predictions, oof, ensemble, top.

    top: ensembles of the best heads of all models of each fold, for every number of them.

    To read: metrics are means over seeds and folds, oof and ensemble their metrics. With --format or --out: every row.
    """
    conditions = " ".join([*where, *([f"stage={','.join(stages)}"] if stages else [])])
    chosen = _format(format, out)
    overview = Overview(root, study)
    runs = finished_runs(overview)
    if not runs:
        raise UsageError(f"{study}: no job is done yet; see seedfold status {study}")
    planned = list(overview.named().values())
    choice = {"min_accuracy": min_accuracy, "rank_by": rank_by, "members": tuple(members) or None}
    choice = {key: value for key, value in choice.items() if value is not None}
    request = TableRequest(runs, planned, conditions, tuple(splits), tuple(by), tuple(over), partial, choice)
    frame = table(name, request, to_read=chosen is None)
    if chosen is not None:
        _export(frame.head(limit) if limit else frame, chosen, out)
        return
    from seedfold.orchestrator.cli.frames import print_frame

    print_frame(frame, limit)
    if stale_runs(runs):
        stale = f"{stale_runs(runs)} of {counted(len(runs), 'result')}"
        say(f"stale: {stale}; see seedfold status {study}", style="yellow")


def _format(format: str | None, out: str | None) -> str | None:
    if out is None or format is not None:
        return format
    ending = Path(out).suffix.removeprefix(".")
    if ending not in _FORMATS:
        raise UsageError(f"--out {out}: its ending names no format ({', '.join(_FORMATS)}); add --format")
    return ending


def _export(frame: object, format: str, out: str | None) -> None:
    import pandas as pd

    from seedfold.results.export import export

    assert isinstance(frame, pd.DataFrame)
    if out is not None and Path(out).is_dir():
        raise UsageError(f"--out {out}: is a folder; name a file")
    written = export(frame, format, Path(out) if out else None)
    if written is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()
    else:
        say(f"wrote {counted(len(frame), 'row')} to {out}")
