"""``seedfold completion SHELL``: the script by which a shell completes commands, studies, axes and values."""

from __future__ import annotations

import os
import re

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_text

VARIABLE = "_SEEDFOLD_COMPLETE"


class BashWithAssignments(BashComplete):
    """Bash takes ``seed=1`` for three words, and replaces only the last of them."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor and the word at the cursor, with assignments as one word."""
        words = split_arg_string(os.environ["COMP_WORDS"])[: int(os.environ["COMP_CWORD"]) + 1]
        if len(words) <= int(os.environ["COMP_CWORD"]):
            words.append("")
        joined = re.sub(r"\0=(\0|$)", "=", "\0".join(words)).split("\0")
        return joined[1:-1], joined[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Return what stands in place of the last of bash's words."""
        return f"{item.type},{str(item.value).rpartition('=')[2] or item.value}"


def register() -> None:
    """Let click complete for bash as it does for other shells."""
    add_completion_class(BashWithAssignments, "bash")


@click.command()
@click.argument("shell", type=options.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that lets a shell complete commands, studies, axes and values with the tab key.

    For bash, add this line to ~/.bashrc; for zsh, the same with zsh to ~/.zshrc:

        eval "$(seedfold completion bash)"

    For fish: seedfold completion fish > ~/.config/fish/completions/seedfold.fish
    """
    from seedfold.orchestrator.cli.group import cli

    register()
    complete_class = get_completion_class(shell)
    assert complete_class is not None
    print_text(complete_class(cli, {}, "seedfold", VARIABLE).source())
