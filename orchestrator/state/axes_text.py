"""Axis values as people type them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def axes_text(axes: Mapping[str, Any]) -> str:
    """Axis values as people type them: ``seed=3 fold=1``."""
    return " ".join(f"{key}={value_text(value)}" for key, value in axes.items())


def value_text(value: Any) -> str:
    """An axis value as people type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
