"""The `seedfold` command: one module for each command.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers`,
`login`, `dispatch`, `copies`, `views`, `page` of `orchestrator`. Read `group` first.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process, and exit."""
    from seedfold.orchestrator.cli.group import cli

    cli()
