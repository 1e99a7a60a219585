"""The study file that ``seedfold sweep lr=0.1,0.01 -- python train.py --lr {lr}`` means."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from seedfold.jobs.compose import one_line_errors
from seedfold.jobs.errors import UsageError, did_you_mean

_PLACEHOLDER = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z_][\w.]*)\}")
_FOLDERS = {"folder": "$SEEDFOLD_FOLDER", "checkpoints": "$SEEDFOLD_CHECKPOINTS"}
"""What stands for the folders of a job, in place of values."""
_SETTINGS = ("cluster", "failures", "identity", "notify", "paths", "report", "resources")
_GENERAL_KEYS = ("seed", "fold")


@dataclass(frozen=True)
class CommandSweep:
    """A sweep of a command as a study: the text of its file, overrides for its settings, and unused keys."""

    text: str
    settings: tuple[str, ...]
    unused: tuple[str, ...]


def make_command_sweep(
    name: str,
    assignments: Sequence[str],
    words: Sequence[str],
    reserved: Collection[str],
    others: Mapping[str, Any] | None = None,
) -> CommandSweep:
    """Return the study ``name`` of ``KEY=VALUES`` and the command's words, in which ``{KEY}`` stands for a value.

    ``reserved`` are keys that mean something to Seedfold: those of the sweep with such a name are kept below ``args``.
    ``others`` are more keys of the study. Raises UsageError for what is not KEY=VALUE, and for a placeholder whose key
    has no value.
    """
    if not words:
        raise UsageError(
            "sweep: there is no command; write -- and the command at the end: -- python train.py --lr {lr}"
        )
    settings = tuple(text for text in assignments if _top_key(text) in _SETTINGS)
    parsed = [_parse(text) for text in assignments if text not in settings]
    keys = {key: f"args.{key}" if _top_key(key) in reserved else key for key in (each.key_or_group for each in parsed)}
    used: set[str] = set()
    command = [_fill_in(word, keys, used) for word in words]
    matrix = {keys[each.key_or_group]: _values_text(each) for each in parsed if each.is_sweep_override()}
    content: dict[str, Any] = {"study": name, "run": "command", "command": command, **(others or {})}
    for each in parsed:
        _set(content, keys[each.key_or_group], None if each.is_sweep_override() else each.value())
    content |= {"matrix": matrix} if matrix else {}
    return CommandSweep(
        "# @package _global_\n" + yaml.safe_dump(content, sort_keys=False, width=120),
        settings,
        tuple(key for key in keys if key not in used and key not in _GENERAL_KEYS),
    )


def _top_key(text: str) -> str:
    return text.partition("=")[0].lstrip("+").partition(".")[0]


def _parse(text: str) -> Override:
    if "=" not in text or text.startswith(("~", "+")):
        raise UsageError(f"{text}: is not KEY=VALUES; the command comes after --")
    try:
        with one_line_errors():
            return OverridesParser.create().parse_override(text)
    except UsageError as error:
        raise UsageError(f"{text}: cannot be read: {error}") from error


def _values_text(override: Override) -> str:
    """Return the values of an axis as they were written: a study file reads them by the same grammar."""
    return str(override.input_line).partition("=")[2]


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    *above, last = key.split(".")
    for part in above:
        content = content.setdefault(part, {})
    content[last] = value


def _fill_in(word: str, keys: Mapping[str, str], used: set[str]) -> str:
    """Return a word with interpolations in place of ``{KEY}``; ``{{`` and ``}}`` are braces."""

    def replace(found: re.Match[str]) -> str:
        key = found[1]
        if key is None:
            return found[0][0]
        if key in _FOLDERS and key not in keys:
            return _FOLDERS[key]
        if key not in keys and key not in _GENERAL_KEYS:
            near = did_you_mean(key, [*keys, *_FOLDERS])
            raise UsageError(f"{shlex.quote(word)}: {key} has no value{near}; write {{{{{key}}}}} for braces")
        used.add(key)
        return f"${{{keys.get(key, key)}}}"

    return _PLACEHOLDER.sub(replace, _escape(word))


def _escape(word: str) -> str:
    """Return a word that OmegaConf resolves to itself: backslashes count only before ``${``."""
    return re.sub(r"(\\*)(\$\{)", lambda found: f"{found[1] * 2}\\{found[2]}", word)
