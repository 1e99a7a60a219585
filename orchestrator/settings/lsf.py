"""The keys of ``cluster`` that only LSF has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from seedfold.jobs.errors import UsageError, did_you_mean

Dialect = Literal["lsf10", "classic"]
MemoryUnit = Literal["KB", "MB", "GB", "TB"]
_CHOICES = {"dialect": ("auto", *get_args(Dialect)), "memory_unit": ("auto", *get_args(MemoryUnit))}


@dataclass(frozen=True, slots=True)
class LsfSettings:
    """Settings that only LSF has; the fields are explained in ``conf/cluster/lsf.yaml``."""

    dialect: str = "auto"
    job_group: str | None = None
    rusage: str | None = None
    gpu_resource: str | None = None
    memory_unit: str = "auto"
    memory_per_slot: bool = False
    enforce_memory: bool = True
    rerunnable: bool = True
    max_array: int | None = None

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> LsfSettings:
        """Read LSF's keys of ``cluster``. Raises UsageError, which names the key, for a value that is not valid."""
        return cls(**{key: _parse_value(key, settings[key]) for key in KEYS if settings.get(key) is not None})


KEYS = tuple(field.name for field in fields(LsfSettings))


def _parse_value(key: str, value: object) -> Any:
    if key in _CHOICES:
        return _parse_choice(key, value)
    if key == "max_array":
        return _parse_count(key, value)
    if key in {"memory_per_slot", "enforce_memory", "rerunnable"}:
        return _parse_bool(key, value)
    return _parse_text(key, value)


def _parse_choice(key: str, value: object) -> str:
    known = _CHOICES[key]
    if value not in known:
        raise UsageError(f"cluster.{key}: {value!r} is not one of {', '.join(known)}{did_you_mean(str(value), known)}")
    return str(value)


def _parse_count(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"cluster.{key}: {value!r} is not a whole number of at least 1")
    return value


def _parse_bool(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"cluster.{key}: {value!r} is neither true nor false")
    return value


def _parse_text(key: str, value: object) -> str:
    if not isinstance(value, str) or "\n" in value:
        raise UsageError(f"cluster.{key}: {value!r} is not a string of one line")
    return value
