"""``seedfold delete STUDY``: says what deleting a study removes, and with ``--yes`` deletes it."""

from __future__ import annotations

from typing import Any

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import counts_text, print_json, print_text, size_text
from seedfold.orchestrator.dispatch.removal import Deletion, delete_study, plan_deletion
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_states import STATES


@click.command()
@options.study
@click.option("--yes", is_flag=True, help="Delete the study.")
@click.option("--even-if-used", is_flag=True, help="Delete it although other studies use results of it.")
@options.as_json
@options.common
def command(study: str, yes: bool, even_if_used: bool, as_json: bool, root: Root) -> None:
    """Say what deleting a study would remove: its jobs, its files with their sizes, and what other studies use of it.
    With --yes, delete it.

    A study of which jobs run or are queued is not deleted. If the command is killed, the same command goes on.
    """
    deletion = plan_deletion(root, study)
    if yes and deletion.uses and not even_if_used:
        raise UsageError(
            f"{'; '.join(use.to_text() for use in deletion.uses)}: these jobs would have to run again; to delete it all"
            " the same: --even-if-used"
        )
    size = deletion.bytes
    if not yes and not as_json:
        _print_deletion(deletion, size)
    if yes:
        delete_study(deletion)
    if as_json:
        print_json(_to_json(deletion, size, yes))
    elif yes:
        print_text(f"deleted study {deletion.name}, {size_text(size)}")


def _print_deletion(deletion: Deletion, size: int) -> None:
    if deletion.study is not None:
        states = counts_text(deletion.states, STATES) or "no jobs"
        print_text(f"{deletion.name}: {states}; {size_text(size)} in {deletion.study.path}", style="bold")
        largest = sorted(deletion.parts.items(), key=lambda part: -part[1])
        print_text(*(f"  {size_text(part_size):>9}  {name}" for name, part_size in largest))
    print_text(*(f"rest of an interrupted deletion: {rest}" for rest in deletion.rests), style="yellow")
    print_text(*(f"{use.to_text()}: these jobs would have to run again" for use in deletion.uses), style="yellow")
    even = " --even-if-used" if deletion.uses else ""
    print_text(f"nothing was deleted; to delete it: seedfold delete {deletion.name} --yes{even}")


def _to_json(deletion: Deletion, size: int, deleted: bool) -> dict[str, Any]:
    return {
        "study": deletion.name,
        "deleted": deleted,
        "bytes": size,
        "states": deletion.states,
        "parts": deletion.parts,
        "used_by": [{"study": use.study, "results": use.result_count, "fits": use.fit_count} for use in deletion.uses],
    }
