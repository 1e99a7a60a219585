"""``seedfold send``: the sending side of a fetch. People do not call it."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.copies.source import LocalSource, serve_source
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.login.stream_protocol import BrokenWireError, Wire


@click.command(hidden=True)
@options.common
def command(root: Root) -> None:
    """Send the files that are requested on standard input, until it closes."""
    with suppress(BrokenWireError):
        serve_source(LocalSource(root), Wire(sys.stdin.buffer, sys.stdout.buffer))
