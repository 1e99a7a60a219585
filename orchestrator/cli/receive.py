"""``seedfold receive``: the receiving side of a launch through a login host. People do not call it."""

from __future__ import annotations

import sys

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.code.source_files import named_modules
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.plans import Plans
from seedfold.orchestrator.login.project_store import ProjectStore
from seedfold.orchestrator.login.stream_protocol import BrokenWireError, Wire


@click.command(hidden=True)
@click.option("--study", metavar="STUDY", help="Send the names of the modules that the jobs of this study name.")
@options.common
def command(study: str | None, root: Root) -> None:
    """Receive a project from standard input, and answer with its folder."""
    wire = Wire(sys.stdin.buffer, sys.stdout.buffer)
    modules = sorted(named_modules(Plans(root.existing_study(study)).current_jobs.values())) if study else []
    try:
        wire.send_message(root=str(root.path), modules=modules)
        wire.send_message(folder=str(_receive_project(wire, root)))
    except BrokenWireError:
        # The caller needs nothing more, or is gone.
        return


def _receive_project(wire: Wire, root: Root) -> object:
    digests = wire.receive_message()["files"]
    store = ProjectStore(root)
    missing = store.missing_digests(digests)
    wire.send_message(missing=missing)
    root.mark_as_root()
    for digest, size in zip(missing, wire.receive_message()["sizes"], strict=True):
        store.add_content(digest, wire.receive_bytes(size))
    return store.create_project(digests)
