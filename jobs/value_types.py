"""Refuses strings, lists and mappings for keys that have a number, true or false: every job would fail on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.interpolations import MISSING

CHECKED_ELSEWHERE = frozenset({"cluster", "failures", "resources", "hydra"})
"""Top-level keys whose values are checked elsewhere before anything starts."""

_RANGE = re.compile(r"(?P<first>\d+)\s*(?:\.{2,3}|-|:|to)\s*(?P<last>\d+)")
_LISTED = 10


def refuse_text(key: str, values: Iterable[Any], config: Mapping[str, Any]) -> None:
    """Raise UsageError if another type would replace a number, true or false that ``config`` has at the dotted ``key``.

    If the configuration has null, a string or an interpolation there, or nothing, any value is accepted.
    """
    default = _find(config, key)
    if not isinstance(default, bool | int | float) or key.split(".")[0] in CHECKED_ELSEWHERE:
        return
    for value in values:
        if isinstance(value, str) and "${" not in value and value != MISSING:
            raise UsageError(f"{key}={value}: {_advice(key, value, default)}")
        if isinstance(value, list | dict):
            raise UsageError(f"{key}={value}: {_list_advice(key, value, default)}")


def _advice(key: str, value: str, default: bool | float) -> str:
    found = _RANGE.fullmatch(value)
    if isinstance(default, bool):
        return f"is a text, and {key} is true or false; write one of them, or ++{key}={value} if the text is meant"
    if found is not None and int(found["first"]) < int(found["last"]):
        numbers = range(int(found["first"]), int(found["last"]) + 1)
        listed = [f"{key}={','.join(map(str, numbers))}"] if len(numbers) <= _LISTED else []
        forms = " or ".join([*listed, f"'{key}=range({numbers.start},{numbers.stop})'"])
        return f"is a text, not a range of numbers; write {forms}"
    return f"is a text, and {key} is a number ({default}); write a number, or ++{key}={value} if the text is meant"


def _list_advice(key: str, value: list[Any] | dict[Any, Any], default: bool | float) -> str:
    what = f"{key} is {'true or false' if isinstance(default, bool) else f'a number ({default})'}"
    if isinstance(value, dict):
        return f"is a mapping, and {what}; write one value"
    return f"is one list, and {what}; write {key}={','.join(map(str, value))} for one job each"


def _find(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node
