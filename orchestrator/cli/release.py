"""``seedfold release STUDY``: jobs that were held go on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import add_folder_to_import_path
from seedfold.orchestrator.cli.console import print_json, print_note, print_text
from seedfold.orchestrator.dispatch.hold import release
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection


@click.command()
@options.study
@options.selection
@options.as_json
@options.common
@click.pass_context
def command(
    context: click.Context,
    study: str,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    as_json: bool,
    root: Root,
) -> None:
    """Let the held jobs of a study go on, those of a pilot as well. Jobs that are in a queue go on from there; others
    are submitted. They run the code of the moment when they were launched.
    """
    add_folder_to_import_path()
    jobs, launched = release(root, study, Selection.parse(where, stages, limit))
    if as_json:
        submitted = [job.id for job in launched.started]
        print_json({"study": study, "released": [job.id for job in jobs], "submitted": submitted})
    elif not jobs:
        print_text(f"{study}: no held job to release")
    else:
        print_text(f"{study}: {count_noun(len(jobs), 'job')} released; to follow them: seedfold watch {study}")
    _print_notes(launched, as_json)
    context.exit(launched.exit_code)


def _print_notes(launched: LaunchResult, as_json: bool) -> None:
    """Print what has changed since jobs were done, and what the scheduler refused."""
    if not as_json:
        print_text(*(f"release: {note}" for note in launched.notes), style="yellow")
    for refusal in launched.advance_result.refusals if launched.advance_result else ():
        print_note(refusal)
