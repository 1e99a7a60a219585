"""``seedfold compare``: compares two values of an axis, two studies or two jobs, and tests whether their difference may
be chance."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import click

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_json, print_text
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

_FORMATS = ("csv", "json", "parquet")


class GivenOptions(TypedDict):
    """The options of the command line."""

    over: str | None
    metrics: Sequence[str]
    splits: Sequence[str]
    where: Sequence[str]
    stages: Sequence[str]
    samples: bool
    study: str | None
    as_json: bool
    format: str | None
    out: str | None


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
@click.option(
    "--format",
    "format",
    type=options.Choice(_FORMATS),
    help="Print every row in this format, for other programs. Default: a table for people.",
)
@click.option("--out", metavar="FILE", help="Write to a file; its ending decides the format.")
@options.common
def command(first: str, second: str | None, root: Root, **given_options: Unpack[GivenOptions]) -> None:
    """Compare two values of an axis of a STUDY, two STUDYs, or two JOBs.

    Values and studies are compared over pairs of jobs that differ in nothing else, such as the seed and the fold; each
    combination of other axes is compared by itself. `difference` is the second minus the first. p is of the corrected
    resampled t-test where jobs are of several folds, else of Wilcoxon's signed rank test, and corrected after Holm.

    Two jobs: what differs in configuration, code, packages, host, metrics and learning curves.

    A JOB is the first characters of an id, or a place in quotes: 'train seed=3 fold=1'.
    """
    format = _find_format(given_options["format"], given_options["out"])
    studies = {folder.name for folder in root.study_folders()}
    if second is not None and given_options["over"] is None and not {first, second} & studies:
        _compare_jobs(root, first, second, given_options, format)
        return
    table = _compare_within_or_between(root, first, second, given_options)
    if given_options["as_json"]:
        print_json(table.rows)
    elif format is not None:
        _export(table, format, given_options["out"])
    else:
        from seedfold.orchestrator.cli.comparison_text import print_comparison

        print_comparison(table)


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


def _compare_jobs(root: Root, first: str, second: str, given_options: GivenOptions, format: str | None) -> None:
    from seedfold.orchestrator.views.two_jobs import compare_jobs

    for option, value in (("where", given_options["where"]), ("stage", given_options["stages"])):
        if value:
            raise UsageError(f"--{option}: selects jobs of studies; these are two jobs")
    left, right = (find_job(root, shlex.split(words), given_options["study"]) for words in (first, second))
    compared = compare_jobs(root, left, right, _request(given_options))
    if given_options["as_json"]:
        print_json(compared.rows)
    elif format is not None:
        _export(ComparisonTable(compared.rows, []), format, given_options["out"])
    else:
        from seedfold.orchestrator.cli.comparison_text import print_job_differences

        print_job_differences(compared)


def _find_format(format: str | None, out: str | None) -> str | None:
    if out is not None and Path(out).is_dir():
        raise UsageError(f"--out {out}: is a folder; name a file")
    if out is None or format is not None:
        return format
    ending = Path(out).suffix.removeprefix(".")
    if ending not in _FORMATS:
        raise UsageError(f"--out {out}: its ending names no format ({', '.join(_FORMATS)}); add --format")
    return ending


def _export(table: ComparisonTable, format: str, out: str | None) -> None:
    from seedfold.results.comparison.paired_metrics import to_frame
    from seedfold.results.tables.export import export

    frame = to_frame(table.rows)
    written = export(frame, format, Path(out) if out else None)
    if written is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()
    else:
        print_text(f"wrote {count_noun(len(frame), 'row')} to {out}")
