"""``seedfold launch OVERRIDES…``: plan, then do it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from seedfold.jobs.errors import counted
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import import_from_here
from seedfold.orchestrator.cli.console import say
from seedfold.orchestrator.cli.follow import stay_or_leave
from seedfold.orchestrator.code.snapshots import left_out
from seedfold.orchestrator.dispatch.launch import launch
from seedfold.orchestrator.dispatch.submit import Launched
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection


@click.command()
@options.overrides
@options.config_dirs
@options.waiting
@click.option("--replace", is_flag=True, help="Let jobs take the place of earlier ones with other settings.")
@click.option("--rerun", metavar="stale|COND", help="Do done jobs again: all that are stale, or by axis values.")
@options.selecting
@options.common
@click.pass_context
def command(
    context: click.Context,
    overrides: Sequence[str],
    config_dirs: Sequence[Path],
    wait: bool | None,
    replace: bool,
    rerun: str | None,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Start what is new, waiting, lost or stale by a parent. On this machine it stays, and shows progress.

    Ctrl-C has running jobs write a checkpoint; a second one kills them. Closing the terminal stops nothing.
    """
    import_from_here()
    launched = launch(
        root,
        overrides,
        config_dirs=config_dirs,
        selection=Selection.parse(where, stages, limit),
        replace=replace,
        rerun=rerun,
    )
    say_started(launched)
    context.exit(stay_or_leave(root, launched, wait))


def say_started(launched: Launched) -> None:
    """Say what was started, and what was not."""
    study, jobs = launched.study.name, counted(len(launched.jobs), "job")
    if not launched.started:
        say(f"{study}: {jobs}, nothing to start")
    elif launched.advanced is not None:
        say(f"{study}: {jobs}, submitted {len(launched.started)}: {launched.advanced}")
    else:
        say(f"{study}: {jobs}, started {len(launched.started)}; worker log {launched.submissions[0].log}")
    for name in left_out(launched.study, (one.snapshot for one in launched.submissions)):
        say(f"{name} is too large for a snapshot of the code: jobs import it from where it is", style="yellow")
    if launched.exhausted:
        failed = counted(launched.exhausted, "failed job is", "failed jobs are")
        say(f"{failed} not tried again: seedfold resume {study}", style="yellow")
