"""``seedfold render OVERRIDES…``: command files or scripts for a scheduler, to read, edit and run by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import add_folder_to_import_path, get_root_option
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.dispatch.launch import make_plan
from seedfold.orchestrator.dispatch.render import TARGETS, render
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.schedulers.rendered_script import RenderRequest
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.fusing import Fusing


@click.command()
@options.overrides
@options.config_dirs
@click.option("--target", type=options.Choice(TARGETS), required=True, help="Which program will run the commands.")
@click.option("--out", metavar="DIR", required=True, help="Folder to write to; it must be new or empty.")
@click.option("--separator", metavar="COMMAND", help="Shell command to put between two commands, e.g. 'sleep 2'.")
@click.option(
    "--max-commands", type=click.IntRange(min=1), metavar="N", help="Write at most N commands to one file or array."
)
@options.many
@options.selection
@options.common
@click.pass_context
def command(
    context: click.Context,
    overrides: Sequence[str],
    config_dirs: Sequence[Path],
    target: str,
    out: str,
    separator: str | None,
    max_commands: int | None,
    many: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Write files with which you run a study by hand, without launch. They have one command for each job. Each command
    runs its job once and records the result.

    With --target shell, there is one file of commands for each stage. With sbatch or bsub, there is one array for each
    stage, and a script submit_all.sh. The commands write to --root if it is given here, else to the root that they find
    in the folder in which they run.
    """
    add_folder_to_import_path()
    selection = Selection.parse(where, stages, limit)
    plan = make_plan(root, overrides, config_dirs, many)
    if SEARCH in plan.study.settings:
        raise UsageError(
            "render: a search chooses its jobs while it runs, so that they cannot be written now; launch it, or render"
            " one of its points with ~search and the values: render ~search KEY=VALUE …"
        )
    selection.check_names(plan.descriptions)
    order = RenderRequest(
        study=plan.study.name,
        settings=plan.study.settings,
        root=get_root_option(context),
        separator=separator,
        max_commands=max_commands,
    )
    chosen = selection.apply(plan.descriptions, lambda job: job)
    fusing = Fusing(plan.ledger, plan.study.settings)
    files = render(Path(out), target, order, plan.descriptions, chosen, fusing)
    print_text(
        f"{order.study}: {count_noun(len({job.id for job in chosen}), 'job')} in {count_noun(len(files), 'file')}"
    )
    print_text(*(f"  {file}" for file in files))
