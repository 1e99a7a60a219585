"""The settings of the report and of tables of means, under the configuration key ``report``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.conditions import find_axis
from seedfold.jobs.errors import UsageError, did_you_mean

_FIRST_ENDINGS = (".csv", ".svg", ".png")
_KEYS = ("compare", "first")


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """``compare`` names the axes of the methods that the study compares; None leaves it to the names of the axes.

    ``first`` names files of stages, ``STAGE/FILE``, that the report shows before all else.
    """

    compare: tuple[str, ...] | None = None
    first: tuple[str, ...] = ()

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
        for key, kind in (("compare", "axes"), ("first", "files, each STAGE/FILE")):
            if given.get(key) is not None and not isinstance(given[key], list | tuple):
                raise UsageError(f"report.{key}: {given[key]!r} is not a list of {kind}; write [{given[key]}]")
        compare, first = given.get("compare"), given.get("first") or ()
        return cls(None if compare is None else tuple(map(str, compare)), tuple(map(str, first)))

    def check_stages(self, stages: Iterable[str]) -> None:
        """Raise UsageError for a file of a stage that the study does not have, or whose kind is not shown."""
        known = list(dict.fromkeys(stages))
        for name in self.first:
            stage, _, file = name.partition("/")
            if stage not in known:
                raise UsageError(
                    f"report.first: {name}: no stage {stage!r}{did_you_mean(stage, known)}; stages: {', '.join(known)}"
                )
            if not file.endswith(_FIRST_ENDINGS):
                endings = ", ".join(_FIRST_ENDINGS)
                raise UsageError(f"report.first: {name}: a report shows files that end in one of {endings}")

    def check_axes(self, axes: Iterable[str]) -> None:
        """Raise UsageError for an axis that the study does not have."""
        known = list(dict.fromkeys(axes))
        for name in self.compare or ():
            if find_axis(name, known) is None:
                listed = ", ".join(known) or "none"
                raise UsageError(f"report.compare: {name}: no such axis{did_you_mean(name, known)}; axes: {listed}")
