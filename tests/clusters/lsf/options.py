"""Command lines as LSF's queries and controls read them: single letters, and a few words with one dash."""

from __future__ import annotations

from collections.abc import Sequence


class BadOption(Exception):
    """An option that the command does not have, or one without its value."""


def getopt(
    arguments: Sequence[str], flags: str, with_value: str, words: dict[str, bool] | None = None
) -> tuple[set[str], dict[str, str], list[str]]:
    """Flags, options with their values, and the rest.

    ``words`` are options of several letters, and whether they have a value. Raises `BadOption`.
    """
    words = words or {}
    found: set[str] = set()
    values: dict[str, str] = {}
    rest, left = [], list(arguments)
    while left:
        argument = left.pop(0)
        if not argument.startswith("-") or argument == "-":
            rest.append(argument)
        elif argument[1:] in words:
            if words[argument[1:]]:
                values[argument[1:]] = needed(argument[1:], left)
            else:
                found.add(argument[1:])
        else:
            letters(argument[1:], left, flags, with_value, found, values)
    return found, values, rest


def letters(text: str, left: list[str], flags: str, with_value: str, found: set[str], values: dict[str, str]) -> None:
    while text:
        letter, text = text[0], text[1:]
        if letter in with_value:
            values[letter] = text or needed(letter, left)
            return
        if letter not in flags:
            raise BadOption(f"invalid option -- '{letter}'")
        found.add(letter)


def needed(name: str, left: list[str]) -> str:
    if not left:
        raise BadOption(f"option requires an argument -- '{name}'")
    return left.pop(0)
