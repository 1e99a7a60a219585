"""``seedfold make-data STUDY``: a small data set in the format of a study."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from seedfold.orchestrator.cli.console import print_text


@click.command()
@click.argument("study")
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="The folder to fill.")
@click.option("--size", default="tiny", show_default=True, metavar="SIZE", help="tiny or small.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(study: str, out: Path, size: str) -> None:
    """Write sample data for STUDY, made up but in its real format, and the same every time.

    The folder has to be empty, or hold what this command wrote there.
    """
    # By name, as all of trainers: nothing of it is imported by other commands.
    importlib.import_module("seedfold.trainers.studies.sample_data").make(study, out, size)
    print_text(f"{out}: sample data for {study}, size {size}")
