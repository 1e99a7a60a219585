"""Metrics as text: three decimals, and the mean with its standard deviation."""

from __future__ import annotations

import math

UNDEFINED = "–"  # noqa: RUF001


def format_number(value: float | None) -> str:
    """Return a metric as text: three decimals, four digits if it is large, a dash if it is undefined."""
    if value is None or math.isnan(value):
        return UNDEFINED
    return f"{value:.4g}" if abs(value) >= 100 else f"{value:.3f}"


def mean_text(mean: float, deviation: float | None) -> str:
    """Return ``0.825 ± 0.010``; the mean alone if the standard deviation is undefined."""
    return format_number(mean) + ("" if deviation is None else f" ± {format_number(deviation)}")
