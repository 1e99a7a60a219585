"""Reads parts of a configuration into frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import ConfigFailure

Settings = TypeVar("Settings")


def read_settings(cls: type[Settings], node: Mapping[str, Any] | None, place: str) -> Settings:
    """Return ``cls`` with the values in ``node``, lists as tuples; ``place`` is where they stand, such as ``trainer``.

    Raises ConfigFailure for a key that is unknown or missing.
    """
    known = [entry.name for entry in fields(cls)]  # type: ignore[arg-type]
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in (node or {}).items()}
    for key in values:
        if key not in known:
            raise ConfigFailure(f"{place}.{key}: unknown key{did_you_mean(key, known)}; known: {', '.join(known)}")
    for entry in fields(cls):  # type: ignore[arg-type]
        if entry.default is MISSING and entry.default_factory is MISSING and values.get(entry.name) is None:
            raise ConfigFailure(f"{place}.{entry.name}: is missing; give the key, or choose an option that has it")
    return cls(**values)
