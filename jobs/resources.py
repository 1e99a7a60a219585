"""The resources that a job asks for: CPUs, GPUs, memory, time. Amounts have a unit: ``4GB``, ``90min``.

Memory and time may be ``auto``: then they are learned from like jobs that are done. ``auto 2h`` names the first value,
which is asked for until enough jobs are done to learn from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from seedfold.jobs.errors import UsageError, did_you_mean

_BYTES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")
_KEYS = ("cpus", "gpus", "memory", "time")
_AUTO = "auto"


def _parse_amount(text: object, units: Mapping[str, int], key: str, example: str) -> int:
    match = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        known = ", ".join(units)
        raise UsageError(f"{key}: {text!r} is not an amount with a unit ({known}); write {example}")
    amount = round(float(match[1]) * units[match[2]])
    if amount <= 0:
        raise UsageError(f"{key}: {text!r} is not more than zero; write {example}")
    return amount


def parse_memory(text: object, key: str = "resources.memory") -> int:
    """Return bytes for ``'4GB'`` (1 GB = 1024³ bytes). Raises UsageError for anything without a unit."""
    return _parse_amount(text, _BYTES, key, "4GB")


def parse_time(text: object, key: str = "resources.time") -> int:
    """Return seconds for ``'90min'``, ``'4h'``. Raises UsageError for anything without a unit."""
    return _parse_amount(text, _SECONDS, key, "4h")


def _parse_or_auto(value: object, parse: Callable[[object], int]) -> tuple[int, bool]:
    """Return an amount and whether it is to be learned; then the amount is the first value, 0 if none is given."""
    word, _, first = value.strip().partition(" ") if isinstance(value, str) else ("", "", "")
    if word != _AUTO:
        return parse(value), False
    return (parse(first) if first.strip() else 0), True


def _require_count(value: object, key: str, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise UsageError(f"resources.{key}: {value!r} is not a whole number of at least {minimum}")
    return value


@dataclass(frozen=True, slots=True)
class Resources:
    """What one job needs. ``time_s`` in seconds, ``memory_bytes`` in bytes.

    ``auto`` names those of ``memory`` and ``time`` that are learned from like jobs; 0 is one of which nothing is known.
    """

    cpus: int = 1
    gpus: int = 0
    memory_bytes: int = 4 * 1024**3
    time_s: int = 3600
    extra: Mapping[str, Any] = field(default_factory=dict)
    auto: tuple[str, ...] = ()

    @classmethod
    def parse(cls, node: Mapping[str, Any]) -> Resources:
        """Build from a configuration such as ``{cpus: 2, memory: 8GB, time: 4h}``.

        Raises UsageError for an unknown key or an amount without a unit.
        """
        if not isinstance(node, Mapping):
            raise UsageError(
                f"resources: {node!r} is not a mapping; write resources: {{cpus: 1, memory: 4GB, time: 1h}}"
            )
        for key in node:
            if key not in (*_KEYS, "extra"):
                raise UsageError(f"resources.{key}: unknown key{did_you_mean(key, _KEYS)}; known: {', '.join(_KEYS)}")
        if not isinstance(node.get("extra"), Mapping | None):
            raise UsageError(
                f"resources.extra: {node['extra']!r} is not a mapping; write resources.extra: {{NAME: VALUE}}"
            )
        memory_bytes, learns_memory = _parse_or_auto(node.get("memory", "4GB"), parse_memory)
        time_s, learns_time = _parse_or_auto(node.get("time", "1h"), parse_time)
        return cls(
            cpus=_require_count(node.get("cpus", 1), "cpus", 1),
            gpus=_require_count(node.get("gpus", 0), "gpus", 0),
            memory_bytes=memory_bytes,
            time_s=time_s,
            extra=dict(node.get("extra") or {}),
            auto=(*(["memory"] if learns_memory else []), *(["time"] if learns_time else [])),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form. It has ``auto`` only where something is learned, as versions without it read it."""
        # Written out because each job of a plan is asked for it, and `asdict` takes ten times as long.
        record = {
            "cpus": self.cpus,
            "gpus": self.gpus,
            "memory_bytes": self.memory_bytes,
            "time_s": self.time_s,
            "extra": dict(self.extra),
        }
        return {**record, "auto": self.auto} if self.auto else record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Resources:
        """Read the JSON form."""
        return cls(**{**record, "auto": tuple(record.get("auto", ()))})
