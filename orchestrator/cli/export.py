"""``seedfold export JOB FILE``: the weights of a job, with its configuration, for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_details import JobDetails
from seedfold.orchestrator.state.job_lookup import find_job
from seedfold.orchestrator.views.weights import export_weights


@click.command()
@options.job
@click.argument("file")
@click.option(
    "--checkpoint",
    "role",
    metavar="NAME",
    help="The checkpoint: best, last, or best/HEAD. Default: best, or last if there is no best.",
)
@options.within_study
@options.common
def command(job: Sequence[str], file: str, role: str | None, study: str | None, root: Root) -> None:
    """Write the weights of a finished JOB to a new FILE, with its configuration.

    A FILE that ends in .safetensors has the configuration in its metadata. Any other (.pt, .pth, .ckpt, .bin) is a
    state_dict for torch, with a YAML file beside it. Heads with best epochs of their own get a file each.
    """
    for written in export_weights(JobDetails(root, find_job(root, job, study)), Path(file), role):
        print_text(f"{written.role}: {', '.join(map(str, written.files))}")
