"""Jobs that run a command: ``run: command`` with ``command: [python, train.py, --lr, ${lr}]`` in the study file.

The command is a list of words, or one text that is split into words as a shell would split it. No shell runs it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from seedfold.jobs.errors import UsageError, did_you_mean

COMMAND = "command"
"""The value of ``run``, and the key of the words."""
COMMAND_RUN = "seedfold.trainers.programs.command.run"
SCRIPT_SUFFIXES = (".py", ".R", ".r", ".jl", ".sh", ".bash", ".pl", ".m", ".do", ".lua", ".js", ".rb")
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_METRIC_KEYS = ("file", "pattern", "step")


@dataclass(frozen=True)
class MetricSource:
    """Where a command leaves its metrics: in a JSON or CSV ``file``, or in lines of output that fit a ``pattern``.

    ``step`` is the column, key or group with the step. ``file`` is relative to the folder of the job.
    """

    file: str | None = None
    pattern: re.Pattern[str] | None = None
    step: str = "step"


@dataclass(frozen=True)
class Command:
    """The words of a command, the files that count as its code besides its script, and where its metrics are."""

    words: tuple[str, ...]
    code: tuple[str, ...] = ()
    metrics: MetricSource | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Command:
        """Read it from the configuration of a job. Raises UsageError, which names the key."""
        code = config.get("code")
        files = [code] if isinstance(code, str) else code or []
        if not isinstance(files, Sequence) or not all(isinstance(file, str) for file in files):
            raise UsageError(f"code: {code!r} is not a list of files; write code: [helpers.R, tables]")
        return cls(tuple(_read_words(config.get(COMMAND))), tuple(files), _read_metrics(config.get("metrics")))

    @property
    def script(self) -> str | None:
        """The word that names the script, if there is one."""
        return None if self.script_place is None else self.words[self.script_place]

    @property
    def starts_python(self) -> bool:
        """Whether its first word is Python, whichever is found first."""
        return _PYTHON.fullmatch(self.words[0]) is not None

    @property
    def module(self) -> str | None:
        """The module that ``python -m MODULE`` runs."""
        following = self.words[1:-1]
        return self.words[following.index("-m") + 2] if self.starts_python and "-m" in following else None

    @property
    def script_place(self) -> int | None:
        """The place of the word that names the script: the first that ends as scripts do, or names a file to run."""
        for place, word in enumerate(self.words):
            if PurePath(word).suffix in SCRIPT_SUFFIXES or (place == 0 and "/" in word):
                return place
        return None


def _read_words(value: Any) -> list[str]:
    if value is None:
        raise UsageError("command: is missing; write command: [python, train.py, --lr, ${lr}]")
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise UsageError(f"command: {value!r} cannot be split into words: {error}") from error
    elif isinstance(value, Sequence):
        words = [_to_word(number, word) for number, word in enumerate(value, 1)]
    else:
        raise UsageError(f"command: {value!r} is neither a list of words nor a text")
    if not words or not words[0]:
        raise UsageError("command: has no words; write command: [python, train.py, --lr, ${lr}]")
    return words


def _to_word(number: int, word: Any) -> str:
    if not isinstance(word, str | int | float):
        raise UsageError(f"command: word {number} is {word!r}; a word is a text or a number")
    if "\0" in str(word):
        raise UsageError(f"command: word {number} holds a NUL character")
    return str(word)


def _read_metrics(value: Any) -> MetricSource | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise UsageError(f"metrics: {value!r} is not a mapping; write metrics: {{file: metrics.json}}")
    for key in value:
        if key not in _METRIC_KEYS:
            raise UsageError(f"metrics.{key}: unknown key{did_you_mean(str(key), _METRIC_KEYS)}")
    file, text, step = value.get("file"), value.get("pattern"), str(value.get("step") or "step")
    if (file is None) == (text is None):
        raise UsageError("metrics: give either file or pattern")
    if file is not None and PurePath(str(file)).suffix not in (".json", ".csv"):
        raise UsageError(f"metrics.file: {file}: metrics are read from .json and .csv files")
    return MetricSource(None if file is None else str(file), None if text is None else _compile(str(text)), step)


def _compile(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"metrics.pattern: {text!r} is not a regular expression: {error}") from error
    if not pattern.groupindex:
        raise UsageError(f"metrics.pattern: {text!r} names no metric; write (?P<accuracy>[0-9.]+) where its value is")
    return pattern
