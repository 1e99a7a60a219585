"""``seedfold make-data EXPERIMENT``: writes a small data set in the format of a study."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from seedfold.orchestrator.cli.console import print_text


@click.command()
@click.argument("experiment")
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder to write to.")
@click.option("--size", default="tiny", show_default=True, metavar="SIZE", help="Size of the data set: tiny or small.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(experiment: str, out: Path, size: str) -> None:
    """Write sample data for EXPERIMENT. The data is made up, but has the real format of the study, and is the same
    every time. If an experiment reads the data of another study, as melanoma_metadata those of melanoma, these are
    written.

    The folder must be empty, or hold only files of an earlier call of this command.
    """
    # Imported by name, as everything in trainers, so that other commands import nothing of it.
    study: str = importlib.import_module("seedfold.trainers.studies.sample_data").make(experiment, out, size)
    whose = "" if study == experiment else f", which {experiment} reads"
    print_text(f"{out}: sample data for {study}, size {size}{whose}")
