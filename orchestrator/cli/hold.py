"""``seedfold hold STUDY``: jobs that have not begun are not begun until they are released."""

from __future__ import annotations

from collections.abc import Sequence

import click

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_json, print_text
from seedfold.orchestrator.dispatch.hold import HoldResult, hold
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection


@click.command()
@options.study
@options.selection
@options.as_json
@options.common
def command(
    study: str, where: Sequence[str], stages: Sequence[str], limit: int | None, as_json: bool, root: Root
) -> None:
    """Hold the jobs of a study that have not begun: they stay where they are, and nothing begins them until you run
    seedfold release. Jobs that run already go on; to stop these: seedfold cancel.

    This also holds jobs that are submitted already, on this machine or in the queue of a cluster. A worker that runs
    learns of it within seconds.
    """
    done = hold(root, study, Selection.parse(where, stages, limit))
    if as_json:
        print_json({"study": study, "held": [job.id for job in done.jobs], "running": [job.id for job in done.running]})
    else:
        _print_held(study, done)


def _print_held(study: str, done: HoldResult) -> None:
    if done.jobs:
        print_text(f"{study}: {count_noun(len(done.jobs), 'job')} held; to let them go on: seedfold release {study}")
    else:
        print_text(f"{study}: nothing to hold; every selected job has begun or is not going to run")
    if done.running:
        running = count_noun(len(done.running), "job runs and goes on", "jobs run and go on")
        print_text(f"{running}; to stop what runs: seedfold cancel {study}")
