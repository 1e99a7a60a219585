"""``seedfold results STUDY [TABLE]``: what came out, to read or as a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.finished_jobs import count_stale, find_finished_jobs
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.views.tables import TABLES, TableRequest, make_result_table
from seedfold.results.store.finished_job import FinishedJob

if TYPE_CHECKING:
    import pandas as pd

_FORMATS = ("csv", "json", "parquet")
_DEPLOYMENT_OPTIONS = ("ratios", "zeros", "base-seed")
ANALYSES = {
    "quantification": ("ratios", "methods", "base-seed"),
    "quantification_error": ("ratios", "methods", "base-seed"),
    "calibration": _DEPLOYMENT_OPTIONS,
    "performance": _DEPLOYMENT_OPTIONS,
    "decisions": _DEPLOYMENT_OPTIONS,
}
"""The tables of prevalence shift, and the options that each has."""
_OPTIONS_OF_TABLES = {
    "by": "by",
    "over": "over",
    "split": "splits",
    "partial": "partial",
    "min-accuracy": "min_accuracy",
    "rank-by": "rank_by",
    "member": "members",
}
_OPTIONS_OF_ANALYSES = {"ratios": "ratios", "methods": "methods", "zeros": "zeros", "base-seed": "base_seed"}


class GivenOptions(TypedDict):
    """What was given on the command line."""

    format: str | None
    out: str | None
    by: Sequence[str]
    min_accuracy: float | None
    rank_by: str | None
    members: Sequence[str]
    over: Sequence[str]
    splits: Sequence[str]
    partial: bool
    ratios: str | None
    methods: str | None
    zeros: str | None
    base_seed: int | None
    where: Sequence[str]
    stages: Sequence[str]
    limit: int | None


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
@options.selection
@options.common
def command(study: str, name: str, root: Root, **given_options: Unpack[GivenOptions]) -> None:
    """Print or write a TABLE of a study: runs, metrics (default), predictions, oof, ensemble, top.

    top: ensembles of the best heads of all models of each fold, for every number of them.

    Of prevalence shift, at --ratios of the largest to the smallest class: quantification, quantification_error,
    calibration, performance, decisions.

    To read: metrics are means over seeds and folds, oof and ensemble their metrics. With --format or --out: every row.
    """
    format = _find_format(given_options["format"], given_options["out"])
    _refuse_unused_options(name, given_options)
    overview = Overview(root, study)
    show = _show_analysis if name in ANALYSES else _show_table
    show(overview, name, given_options, format)


def _conditions(given_options: GivenOptions) -> str:
    stages = [f"stage={','.join(given_options['stages'])}"] if given_options["stages"] else []
    return " ".join([*given_options["where"], *stages])


def _show_analysis(overview: Overview, name: str, given_options: GivenOptions, format: str | None) -> None:
    from seedfold.orchestrator.cli.analysis import make_prevalence_table, parse_settings, print_means

    settings = parse_settings(
        given_options["ratios"], given_options["methods"], given_options["zeros"], given_options["base_seed"]
    )
    found = make_prevalence_table(overview, name, settings, _conditions(given_options))
    if format is None:
        print_means(name, found)
    else:
        _export(found, format, given_options)


def _show_table(overview: Overview, name: str, given_options: GivenOptions, format: str | None) -> None:
    runs, study = find_finished_jobs(overview), overview.folder.name
    if not runs:
        raise UsageError(f"{study}: no job is done yet; see seedfold status {study}")
    frame = make_result_table(name, _table_request(overview, runs, given_options), summarized=format is None)
    if format is not None:
        _export(frame, format, given_options)
        return
    from seedfold.orchestrator.cli.frames import print_frame

    print_frame(frame, given_options["limit"])
    if count_stale(runs):
        stale = f"{count_stale(runs)} of {count_noun(len(runs), 'result')}"
        print_text(f"stale: {stale}; see seedfold status {study}", style="yellow")


def _table_request(overview: Overview, runs: Sequence[FinishedJob], given_options: GivenOptions) -> TableRequest:
    choice = {
        "min_accuracy": given_options["min_accuracy"],
        "rank_by": given_options["rank_by"],
        "members": tuple(given_options["members"]) or None,
    }
    return TableRequest(
        runs,
        list(overview.jobs_by_address().values()),
        _conditions(given_options),
        splits=tuple(given_options["splits"]),
        by=tuple(given_options["by"]),
        over=tuple(given_options["over"]),
        partial=given_options["partial"],
        member_choice={key: value for key, value in choice.items() if value is not None},
    )


def _refuse_unused_options(name: str, given_options: GivenOptions) -> None:
    """Raise UsageError for an option that the table does not have."""
    used = ANALYSES.get(name, _OPTIONS_OF_TABLES)
    for option, key in {**_OPTIONS_OF_TABLES, **_OPTIONS_OF_ANALYSES}.items():
        value = given_options[key]  # type: ignore[literal-required]
        if value not in (None, (), False) and option not in used:
            raise UsageError(f"--{option}: the table {name} has no such option; see seedfold results --help")


def _find_format(format: str | None, out: str | None) -> str | None:
    if out is not None and Path(out).is_dir():
        raise UsageError(f"--out {out}: is a folder; name a file")
    if out is None or format is not None:
        return format
    ending = Path(out).suffix.removeprefix(".")
    if ending not in _FORMATS:
        raise UsageError(f"--out {out}: its ending names no format ({', '.join(_FORMATS)}); add --format")
    return ending


def _export(frame: pd.DataFrame, format: str, given_options: GivenOptions) -> None:
    from seedfold.results.tables.export import export

    frame, out = frame.head(given_options["limit"]) if given_options["limit"] else frame, given_options["out"]
    written = export(frame, format, Path(out) if out else None)
    if written is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()
    else:
        print_text(f"wrote {count_noun(len(frame), 'row')} to {out}")
