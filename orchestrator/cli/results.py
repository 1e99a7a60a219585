"""``seedfold results STUDY [TABLE]``: result tables, printed or written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.headline import write_result_table
from seedfold.orchestrator.cli.pager import with_pager
from seedfold.orchestrator.cli.table_output import OutputOptions, TableOutput, output_options
from seedfold.orchestrator.cli.trials import TRIALS, write_trials
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.finished_jobs import find_by_code
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.state.usage import study_usage
from seedfold.orchestrator.views.tables import TABLES

_DEPLOYMENT_OPTIONS = ("by", "split", "ratios", "zeros", "base-seed")
_ESTIMATE_OPTIONS = ("by", "split", "ratios", "methods", "base-seed")
ANALYSES = {
    "quantification": _ESTIMATE_OPTIONS,
    "quantification_error": _ESTIMATE_OPTIONS,
    "calibration": _DEPLOYMENT_OPTIONS,
    "performance": _DEPLOYMENT_OPTIONS,
    "decisions": _DEPLOYMENT_OPTIONS,
}
"""The tables of prevalence shift, and the options of each."""
USAGE = "usage"
"""The table of what jobs used of what they asked for."""
_OPTIONS_OF_TABLES = {
    "by": "by",
    "over": "over",
    "split": "splits",
    "sort": "sort",
    "partial": "partial",
    "min-accuracy": "min_accuracy",
    "rank-by": "rank_by",
    "member": "members",
}
_OPTIONS_OF_ANALYSES = {"ratios": "ratios", "methods": "methods", "zeros": "zeros", "base-seed": "base_seed"}


class GivenOptions(OutputOptions):
    """The options of the command line."""

    by: Sequence[str]
    min_accuracy: float | None
    rank_by: str | None
    members: Sequence[str]
    over: Sequence[str]
    splits: Sequence[str]
    sort: str | None
    partial: bool
    ratios: str | None
    methods: str | None
    zeros: str | None
    base_seed: int | None
    across: str | None
    where: Sequence[str]
    stages: Sequence[str]
    with_removed: bool


@click.command()
@options.study
@click.argument("name", metavar="[TABLE]", type=options.Choice((*TABLES, *ANALYSES, USAGE, TRIALS)), default="metrics")
@output_options
@click.option(
    "--by",
    metavar="AXIS",
    multiple=True,
    help="metrics: print means for each value of these axes; prevalence shift:"
    " of these columns, e.g. ratio; repeatable.",
)
@click.option(
    "--min-accuracy", type=float, metavar="X", help="top: smallest validation accuracy of a member; default: 0.6."
)
@click.option("--rank-by", metavar="METRIC", help="top: metric that ranks the members; default: auroc.")
@click.option(
    "--member",
    "members",
    metavar="WHERE",
    multiple=True,
    help="top: use only these members, e.g. 'seed=0 head=last'; repeatable.",
)
@click.option(
    "--over", metavar="AXIS", multiple=True, help="metrics, oof, ensemble: average over these axes; repeatable."
)
@click.option(
    "--split",
    "splits",
    metavar="SPLIT",
    multiple=True,
    help="Use only this split; repeatable. Prevalence shift: app_test=NAME if a study has another name for the split.",
)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Sort the rows by a metric, the best first, or by another column; with metrics also say which setting"
    " is the best, and how sure that is.",
)
@click.option(
    "--partial", is_flag=True, help="oof, ensemble: use the finished jobs even if folds or members are missing."
)
@click.option(
    "--ratios", metavar="RATIOS", help="Prevalence shift: class ratios, e.g. 1,1.5,2; default: 'range(1,10.5,0.5)'."
)
@click.option("--methods", metavar="NAMES", help="quantification: use only these methods, e.g. ACC,EMQ or acc,emq.")
@click.option(
    "--zeros",
    type=options.Choice(("error", "epsilon", "as_published")),
    help="Prevalence shift: how to treat classes with an estimated prevalence of zero.",
)
@click.option(
    "--base-seed", type=int, metavar="N", help="Prevalence shift: seed of the simulated deployments; default: 42."
)
@options.with_removed
@options.across
@options.selection_of_rows
@options.common
@with_pager
def command(study: str, name: str, root: Root, **given_options: Unpack[GivenOptions]) -> None:
    """Print or write a TABLE of a study: runs, metrics (the default), predictions, oof, ensemble or top.

    The table top has ensembles of the best heads of all models of each fold, for every number of members.

    The table usage has the time, memory and GPU that the done jobs of each stage used, beside what they asked for.

    The table trials has the trials of a search, with the values of the keys that it searches.

    The tables of prevalence shift are quantification, quantification_error, calibration, performance and decisions.
    They are computed for each of --ratios, the size of the largest class divided by that of the smallest.

    On the terminal, metrics shows means over seeds and folds, and oof and ensemble show metrics; ★ marks the best value
    of each metric. --format latex, markdown and html write the same table, with the best values in bold; csv, json and
    parquet write every row.
    """
    output = TableOutput.from_options(given_options)
    _refuse_unused_options(name, given_options)
    overview = Overview(root, study, with_removed=given_options["with_removed"])
    Selection.parse(stages=given_options["stages"]).check_names(overview.ledger.plans.jobs.values())
    if name == USAGE:
        from seedfold.orchestrator.cli.usage_table import write_usage

        selection = Selection.parse(given_options["where"], given_options["stages"], None)
        write_usage(study_usage(overview, selection), output)
        return
    if name == TRIALS:
        write_trials(overview, output)
        return
    show = _show_analysis if name in ANALYSES else _show_table
    show(overview, name, given_options, output)


def _conditions(given_options: GivenOptions) -> str:
    stages = [f"stage={','.join(given_options['stages'])}"] if given_options["stages"] else []
    return " ".join([*given_options["where"], *stages])


def _show_analysis(overview: Overview, name: str, given_options: GivenOptions, output: TableOutput) -> None:
    from seedfold.orchestrator.cli.analysis import make_prevalence_table, parse_settings, write_table

    settings = parse_settings(
        given_options["ratios"],
        given_options["methods"],
        given_options["zeros"],
        given_options["base_seed"],
        given_options["splits"],
    )
    across_code = given_options["across"] == "code"
    found, notes = make_prevalence_table(
        overview, name, settings, _conditions(given_options), given_options["by"], across_code
    )
    write_table(name, found, given_options["by"], output, notes)


def _show_table(overview: Overview, name: str, given_options: GivenOptions, output: TableOutput) -> None:
    study = overview.folder.name
    finished = find_by_code(overview, across_code=given_options["across"] == "code")
    if not finished.jobs:
        raise UsageError(f"{study}: no job is done yet; see seedfold status {study}")
    choice = {
        "min_accuracy": given_options["min_accuracy"],
        "rank_by": given_options["rank_by"],
        "members": tuple(given_options["members"]) or None,
    }
    write_result_table(
        overview,
        finished,
        name,
        output,
        where=_conditions(given_options),
        splits=tuple(given_options["splits"]),
        by=tuple(given_options["by"]),
        over=tuple(given_options["over"]),
        sort=given_options["sort"],
        partial=given_options["partial"],
        member_choice={key: value for key, value in choice.items() if value is not None},
    )


def _refuse_unused_options(name: str, given_options: GivenOptions) -> None:
    """Raise UsageError for an option that the table does not have."""
    used = () if name in (USAGE, TRIALS) else ANALYSES.get(name, _OPTIONS_OF_TABLES)
    for option, key in {**_OPTIONS_OF_TABLES, **_OPTIONS_OF_ANALYSES}.items():
        value = given_options[key]  # type: ignore[literal-required]
        if value not in (None, (), False) and option not in used:
            raise UsageError(f"--{option}: the table {name} has no such option; see seedfold results --help")
    selecting = (("where", given_options["where"]), ("stage", given_options["stages"]))
    for option, given in selecting if name == TRIALS else ():
        if given:
            raise UsageError(f"--{option}: the table {name} has no such option; select the rows yourself")
