"""``seedfold compare``: compares two values of an axis, two studies or two jobs, and tests whether their difference may
be chance."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Unpack

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_json
from seedfold.orchestrator.cli.table_output import OutputOptions, TableOutput, output_options
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_lookup import find_job
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.views.comparison import (
    ComparisonRequest,
    ComparisonTable,
    axes_of,
    compare_axis,
    compare_studies,
)

_EXACT = ("a", "b", "p", "p_adjusted", "p_signed_rank")
"""Columns that are never rounded: values of axes, and p, of which nothing would be left."""


class GivenOptions(OutputOptions):
    """The options of the command line."""

    over: str | None
    metrics: Sequence[str]
    splits: Sequence[str]
    where: Sequence[str]
    stages: Sequence[str]
    samples: bool
    study: str | None
    as_json: bool


@click.command()
@click.argument("first", metavar="STUDY|JOB")
@click.argument("second", metavar="[STUDY|JOB]", required=False)
@click.option("--over", metavar="AXIS", help="Compare each pair of values of this axis, such as loss.weighting.")
@click.option("--metric", "metrics", metavar="METRIC", multiple=True, help="Use only this metric; repeatable.")
@click.option("--split", "splits", metavar="SPLIT", multiple=True, help="Use only this split; repeatable.")
@click.option("--where", metavar="COND", multiple=True, help="Select jobs and rows, e.g. 'seed=1,2 split=test'.")
@click.option("--stage", "stages", metavar="STAGE", multiple=True, help="Select jobs of this stage; repeatable.")
@click.option("--samples", is_flag=True, help="Compare sample by sample: McNemar, DeLong, paired bootstrap.")
@options.within_study
@options.as_json
@output_options
@options.common
def command(first: str, second: str | None, root: Root, **given_options: Unpack[GivenOptions]) -> None:
    """Compare two values of an axis of a STUDY, two STUDYs, or two JOBs.

    Values and studies are compared over pairs of jobs that differ in nothing else, such as the seed and the fold; each
    combination of other axes is compared by itself. `difference` is the second minus the first. p is of the corrected
    resampled t-test where jobs are of several folds, else of Wilcoxon's signed rank test, and corrected after Holm.

    Two jobs: what differs in configuration, code, packages, host, metrics and learning curves.

    A JOB is the first characters of an id, or a place in quotes: 'train seed=3 fold=1'.
    """
    output = TableOutput.from_options(given_options)
    studies = {folder.name for folder in root.study_folders()}
    if second is not None and given_options["over"] is None and not {first, second} & studies:
        _compare_jobs(root, first, second, given_options, output)
        return
    table = _compare_within_or_between(root, first, second, given_options)
    if given_options["as_json"]:
        print_json(table.rows)
    elif output.is_on_terminal:
        from seedfold.orchestrator.cli.comparison_text import ComparisonPrinter

        ComparisonPrinter(given_options["decimals"], given_options["wide"]).print_comparison(table)
    else:
        _write(table, output)


def _compare_within_or_between(
    root: Root, first: str, second: str | None, given_options: GivenOptions
) -> ComparisonTable:
    over, request = given_options["over"], _request(given_options)
    if given_options["study"] is not None:
        raise UsageError("--study: chooses the study in which to look for a JOB; use it only with two jobs")
    if second is None:
        overview = Overview(root, first)
        if over is None:
            axes = ", ".join(axes_of(root, first)) or "none"
            raise UsageError(f"--over is missing; name an axis of {first} ({axes}), or a second study or job")
        return compare_axis(overview, over, request)
    if over is not None:
        raise UsageError(f"--over {over}: compares values of one study; leave {second} out")
    return compare_studies(Overview(root, first), Overview(root, second), request)


def _request(given_options: GivenOptions) -> ComparisonRequest:
    stages = [f"stage={','.join(given_options['stages'])}"] if given_options["stages"] else []
    return ComparisonRequest(
        metrics=tuple(given_options["metrics"]),
        splits=tuple(given_options["splits"]),
        where=" ".join([*given_options["where"], *stages]),
        samples=given_options["samples"],
    )


def _compare_jobs(root: Root, first: str, second: str, given_options: GivenOptions, output: TableOutput) -> None:
    from seedfold.orchestrator.views.two_jobs import compare_jobs

    for option, value in (("where", given_options["where"]), ("stage", given_options["stages"])):
        if value:
            raise UsageError(f"--{option}: selects jobs of studies; these are two jobs")
    left, right = (find_job(root, shlex.split(words), given_options["study"]) for words in (first, second))
    compared = compare_jobs(root, left, right, _request(given_options))
    if given_options["as_json"]:
        print_json(compared.rows)
    elif output.is_on_terminal:
        from seedfold.orchestrator.cli.comparison_text import ComparisonPrinter

        ComparisonPrinter(given_options["decimals"], given_options["wide"]).print_job_differences(compared)
    else:
        _write(ComparisonTable(compared.rows, []), output)


def _write(table: ComparisonTable, output: TableOutput) -> None:
    """Write a table that is not for a terminal."""
    if output.is_for_programs:
        from seedfold.results.comparison.paired_metrics import to_frame

        frame = to_frame(table.rows)
        exact = {*_EXACT, *(name for name in frame.columns if name not in table.rows[0])}
        output.write(frame, exact, notes=table.notes)
    else:
        from seedfold.results.comparison.readable_rows import to_readable

        output.write_marked_up(to_readable(table.rows), table.notes)
