"""``seedfold results STUDY [TABLE]``: what came out, to read or as a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
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
_ZEROS = ("ratios", "zeros", "base-seed")
ANALYSES = {
    "quantification": ("ratios", "methods", "base-seed"),
    "quantification_error": ("ratios", "methods", "base-seed"),
    "calibration": _ZEROS,
    "performance": _ZEROS,
    "decisions": _ZEROS,
}
"""The tables of prevalence shift, and the options that each has."""


@click.command()
@options.study
@click.argument("name", metavar="[TABLE]", type=options.Choice((*TABLES, *ANALYSES)), default="metrics")
@click.option("--format", "format", type=options.Choice(_FORMATS), help="For other programs; else a table to read.")
@click.option("--out", metavar="FILE", help="Write to a file; its ending tells the format.")
@click.option("--by", metavar="AXIS", multiple=True, help="metrics: means by these axes; repeatable.")
@click.option("--min-accuracy", type=float, metavar="X", help="top: least validation accuracy of a member; else 0.6.")
@click.option("--rank-by", metavar="METRIC", help="top: what ranks the members; auroc unless given.")
@click.option("--member", "members", metavar="WHERE", multiple=True, help="top: these, e.g. 'seed=0 head=last'.")
@click.option("--over", metavar="AXIS", multiple=True, help="The axes that means, folds or ensembles run over.")
@click.option("--split", "splits", metavar="SPLIT", multiple=True, help="Only this split; repeatable.")
@click.option("--partial", is_flag=True, help="oof, ensemble: take what is there where folds or members are missing.")
@click.option("--ratios", metavar="RATIOS", help="Prevalence shift: 1,1.5,2 or 'range(1,10.5,0.5)', the default.")
@click.option("--methods", metavar="NAMES", help="quantification: only these, e.g. ACC,EMQ.")
@click.option(
    "--zeros",
    type=options.Choice(("error", "epsilon", "as_published")),
    help="What becomes of classes estimated to be absent.",
)
@click.option("--base-seed", type=int, metavar="N", help="Seed of the simulated deployments; 42 unless given.")
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
    ratios: str | None,
    methods: str | None,
    zeros: str | None,
    base_seed: int | None,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Print or write a TABLE of a study: runs, metrics (default), predictions, oof, ensemble, top.

    top: ensembles of the best heads of all models of each fold, for every number of them.

    Of prevalence shift, at --ratios of the largest to the smallest class: quantification, quantification_error,
    calibration, performance, decisions.

    To read: metrics are means over seeds and folds, oof and ensemble their metrics. With --format or --out: every row.
    """
    conditions = " ".join([*where, *([f"stage={','.join(stages)}"] if stages else [])])
    chosen = _format(format, out)
    _refuse_unused(name, {"by": by, "over": over, "split": splits, "partial": partial})
    _refuse_unused(name, {"min-accuracy": min_accuracy is not None, "rank-by": rank_by, "member": members})
    _refuse_unused(name, {"ratios": ratios, "methods": methods, "zeros": zeros, "base-seed": base_seed is not None})
    overview = Overview(root, study)
    if name in ANALYSES:
        from seedfold.orchestrator.cli.analysis import make_table, print_means, settings_of

        found = make_table(overview, name, settings_of(ratios, methods, zeros, base_seed), conditions)
        if chosen is None:
            print_means(name, found)
        else:
            _export(found.head(limit) if limit else found, chosen, out)
        return
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


def _refuse_unused(name: str, given: Mapping[str, object]) -> None:
    """Raise UsageError for an option that the table does not have."""
    used = ANALYSES.get(name, ("by", "over", "split", "partial", "min-accuracy", "rank-by", "member"))
    for option, value in given.items():
        if value and option not in used:
            raise UsageError(f"--{option}: the table {name} has no such option; see seedfold results --help")


def _format(format: str | None, out: str | None) -> str | None:
    if out is not None and Path(out).is_dir():
        raise UsageError(f"--out {out}: is a folder; name a file")
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
    written = export(frame, format, Path(out) if out else None)
    if written is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()
    else:
        say(f"wrote {counted(len(frame), 'row')} to {out}")
