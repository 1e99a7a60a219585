"""The settings of the report and of tables of means, under the configuration key ``report``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.conditions import find_axis
from seedfold.jobs.errors import UsageError, did_you_mean

_KEYS = ("compare",)


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """``compare`` names the axes of the methods that the study compares; None leaves it to the names of the axes."""

    compare: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, settings: Mapping[str, Any] | None) -> ReportSettings:
        """Read ``report`` of the configuration. Raises UsageError for an unknown key, and for a value that is not a
        list."""
        given = settings or {}
        if not isinstance(given, Mapping):
            raise UsageError(f"report: {given!r} is not a mapping; write report: {{compare: [AXIS, …]}}")
        for key in given:
            if key not in _KEYS:
                raise UsageError(f"report.{key}: unknown key{did_you_mean(str(key), _KEYS)}; known: {', '.join(_KEYS)}")
        compare = given.get("compare")
        if compare is None:
            return cls()
        if not isinstance(compare, list | tuple):
            raise UsageError(f"report.compare: {compare!r} is not a list of axes; write [{compare}]")
        return cls(tuple(map(str, compare)))

    def check_axes(self, axes: Iterable[str]) -> None:
        """Raise UsageError for an axis that the study does not have."""
        known = list(dict.fromkeys(axes))
        for name in self.compare or ():
            if find_axis(name, known) is None:
                listed = ", ".join(known) or "none"
                raise UsageError(f"report.compare: {name}: no such axis{did_you_mean(name, known)}; axes: {listed}")
