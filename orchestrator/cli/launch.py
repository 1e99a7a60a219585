"""``seedfold launch OVERRIDES…``: plans a study and starts its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import add_folder_to_import_path
from seedfold.orchestrator.cli.console import print_note, print_text
from seedfold.orchestrator.cli.follow import wait_if_asked
from seedfold.orchestrator.cli.selected import say_selected
from seedfold.orchestrator.code.snapshots import left_out_packages
from seedfold.orchestrator.dispatch.launch import launch
from seedfold.orchestrator.dispatch.pilot import pilot_request
from seedfold.orchestrator.dispatch.start_now import start_now
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection


@click.command()
@options.overrides
@options.config_dirs
@options.wait
@options.now
@click.option("--replace", is_flag=True, help="Replace earlier jobs that have the same address and other settings.")
@click.option(
    "--rerun",
    metavar="stale|COND",
    help="Run done jobs again: all stale ones, or those with these axis values, e.g. 'seed=1', or 'job=1a2b3c'.",
)
@click.option("--exact", is_flag=True, help="Refuse a study that trains jobs together (fuse).")
@click.option(
    "--best",
    type=click.IntRange(min=1),
    metavar="N",
    help="Launch the N best trials of a search: seedfold launch STUDY --best 3 'seed=range(0,10)'.",
)
@options.pilot
@options.accept_code
@options.many
@options.selection
@options.common
@click.pass_context
def command(
    context: click.Context,
    overrides: Sequence[str],
    config_dirs: Sequence[Path],
    wait: bool | None,
    now: bool,
    replace: bool,
    rerun: str | None,
    exact: bool,
    best: int | None,
    pilot: int | None,
    pilot_auto: bool,
    accept_code: bool,
    many: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Start the jobs that are new, waiting, lost or stale by a parent. On this machine the command waits for the jobs
    and shows their progress; on a cluster it returns when they are submitted.

    Ctrl-C asks running jobs to write a checkpoint and stop; a second Ctrl-C kills them. If you close the terminal, the
    jobs go on.
    """
    add_folder_to_import_path()
    selection = Selection.parse(where, stages, limit)
    if best is not None:
        from seedfold.orchestrator.dispatch.best_trials import launch_best

        launched = launch_best(root, overrides, best)
        print_started(launched, "launch")
        context.exit(wait_if_asked(root, launched, wait))
    launched = launch(
        root,
        overrides,
        config_dirs=config_dirs,
        selection=selection,
        replace=replace,
        rerun=rerun,
        accept=accept_code,
        many=many,
        exact=exact,
        pilot=pilot_request(pilot, pilot_auto),
        tell=say_selected(selection, "start"),
    )
    print_started(launched, "launch")
    if now:
        start_beside_others(launched)
    context.exit(wait_if_asked(root, launched, wait))


def print_started(launched: LaunchResult, command_name: str) -> None:
    """Print which jobs were started or not. Lines on what has changed begin with ``command_name``."""
    study, jobs = launched.study.name, count_noun(len(launched.jobs), "job")
    if launched.is_search:
        _print_search(launched)
    elif not launched.started:
        print_text(f"{study}: {jobs}, nothing to start")
    elif launched.advance_result is not None:
        result = launched.advance_result
        count = len(launched.started) - launched.held_count - result.refused_jobs
        print_text(f"{study}: {jobs}, submitted {max(count, 0)}: {result.summary() or 'nothing was accepted'}")
    else:
        count = len(launched.started) - launched.held_count
        print_text(f"{study}: {jobs}, started {count}; worker log {launched.submissions[0].log_file}")
    if launched.held_count:
        held = count_noun(launched.held_count, "job is", "jobs are")
        print_text(f"{held} held; seedfold status {study} says for what; to let them go on: seedfold release {study}")
    for other, count in launched.reused.items():
        print_text(f"{count_noun(count, 'job was', 'jobs were')} done by study {other}, so not started again here")
    for name in left_out_packages(launched.study, (one.snapshot for one in launched.submissions)):
        print_text(
            f"{name} is too large for a snapshot of the code; jobs import it from its own folder", style="yellow"
        )
    for refusal in launched.advance_result.refusals if launched.advance_result else ():
        print_note(refusal)
    if launched.taken_count:
        taken = count_noun(launched.taken_count, "job was", "jobs were")
        print_text(f"{taken} submitted by another command at the same moment", style="yellow")
    if launched.removed:
        removed = count_noun(len({job.id for job in launched.removed}), "job is", "jobs are")
        print_text(f"{removed} no longer in the study; to list them: seedfold status {study} --all", style="yellow")
    if launched.exhausted_count:
        failed = count_noun(launched.exhausted_count, "failed job is", "failed jobs are")
        print_text(f"{failed} not tried again; to try again: seedfold resume {study}", style="yellow")
    print_text(*(f"{command_name}: {note}" for note in launched.notes), style="yellow")


def _print_search(launched: LaunchResult) -> None:
    study = launched.study.name
    if not launched.submissions:
        print_text(f"{study}: the search is at work, or has nothing left to do; see seedfold status {study}")
    elif launched.advance_result is not None:
        print_text(f"{study}: search started: {launched.advance_result.summary() or 'nothing was accepted'}")
    else:
        print_text(f"{study}: search started; worker log {launched.submissions[0].log_file}")


def start_beside_others(launched: LaunchResult) -> None:
    """Tell the workers of this machine not to wait for others, and say so."""
    workers = start_now(launched.study)
    print_text(
        f"{launched.study.name}: does not wait for slots that other studies hold"
        if workers
        else "--now: changes nothing, because no job of the study waits on this machine",
        style="" if workers else "yellow",
    )
