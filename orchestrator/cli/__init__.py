"""The `seedfold` command: one module a command, imported only when that command is called."""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process, and exit."""
    from seedfold.orchestrator.cli.group import cli

    cli()
