"""Writes the reference of commands and of configuration keys, from the code and from the comments in ``conf/``.

``python docs/reference/generate.py`` writes both pages; a test holds them current.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from seedfold.orchestrator.cli.group import cli

HERE = Path(__file__).parent
CONF = HERE.parents[1] / "conf"
_NOT_COMPOSED_BY_PEOPLE = {"sizes", "size", "tasks"}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows), ""]


# --- commands ---------------------------------------------------------------------------------------------------------


def _option_row(option: click.Option) -> tuple[str, str]:
    names = ", ".join((*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(cli))}"
    return f"`{names}{value}`", option.help or ""


def _command_lines(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"seedfold {name}")
    yield from (f"## {name}", "", "```sh", command.get_usage(context).removeprefix("Usage: "), "```", "")
    yield from (inspect.cleandoc(command.help or "").replace("\b", ""), "")
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    yield from _table(("option", "what it does"), [_option_row(option) for option in options])


def commands_page() -> str:
    """The page on all commands."""
    context = click.Context(cli)
    lines = [
        "# Commands",
        "",
        "`seedfold --help` lists all commands, and `seedfold COMMAND --help` shows what is written here about one.",
        "This page is generated from the code by `python docs/reference/generate.py`.",
        "",
    ]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None and not command.hidden:
            lines += _command_lines(name, command)
    return "\n".join(lines).rstrip() + "\n"


# --- configuration ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """One key of a file: its dotted name, its value as YAML, and the comment above it."""

    name: str
    value: str
    comment: str


def _comment_above(lines: Sequence[str], row: int) -> str:
    found: list[str] = []
    indent = len(lines[row]) - len(lines[row].lstrip())
    for line in reversed(lines[:row]):
        if not line.strip().startswith("#") or len(line) - len(line.lstrip()) != indent:
            break
        found.insert(0, line.strip().removeprefix("#").strip())
    return " ".join(found)


def _keys(node: yaml.MappingNode, lines: Sequence[str], prefix: str = "") -> Iterator[Key]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        comment = _comment_above(lines, key.start_mark.line)
        if name == "defaults":
            continue
        if isinstance(value, yaml.MappingNode) and value.value and value.start_mark.line > key.start_mark.line:
            if comment:
                yield Key(name, "", comment)
            yield from _keys(value, lines, f"{name}.")
        else:
            text = value.start_mark.buffer[value.start_mark.index : value.end_mark.index] if value.value else ""
            yield Key(name, _short(text.removesuffix("\x00")), comment)


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else f"{words[:57]}…"


def _header(lines: Sequence[str]) -> str:
    found: list[str] = []
    for line in lines:
        if not line.startswith("#") or line.startswith("# @package"):
            if found or line.strip():
                break
            continue
        found.append(line.removeprefix("#").strip())
    return " ".join(found)


def _file_lines(file: Path, group: str) -> Iterator[str]:
    text = file.read_text()
    lines = text.splitlines()
    node = yaml.compose(text)
    keys = list(_keys(node, lines)) if isinstance(node, yaml.MappingNode) else []
    yield from (f"### {group}={file.relative_to(CONF / group).with_suffix('')}" if group else "## Top level", "")
    header = _header(lines)
    # A file that begins with a key has the comment of that key in its first lines.
    if header and not (keys and keys[0].comment == header):
        yield from (header, "")
    rows = [(f"`{key.name}`", f"`{key.value}`" if key.value else "", key.comment) for key in keys]
    yield from _table(("key", "value", "what it says"), rows) if rows else ()


def configuration_page() -> str:
    """The page on all groups of ``conf/``, their options and keys."""
    lines = [
        "# Configuration",
        "",
        "These are the groups of `conf/` and the options of each. `model=mlp` chooses an option, and `model.width=64`",
        "changes a key of it. The value in the table is the one that the option has. Studies and their sizes are",
        "files as well (`experiment=NAME`, `size=tiny`); read them in `conf/experiment` and `conf/sizes`. This page is",
        "generated from the comments in `conf/` by `python docs/reference/generate.py`.",
        "",
        *_file_lines(CONF / "config.yaml", ""),
    ]
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir()):
        if folder.name in {*_NOT_COMPOSED_BY_PEOPLE, "experiment", "__pycache__"}:
            continue
        lines += [f"## {folder.name}", ""]
        for file in sorted(folder.rglob("*.yaml")):
            lines += _file_lines(file, folder.name)
    return "\n".join(lines).rstrip() + "\n"


PAGES = {"commands.md": commands_page, "configuration.md": configuration_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
