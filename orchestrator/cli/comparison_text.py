"""Comparisons on a terminal: a table for each pair of values, and notes on how to read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.table import Table

from seedfold.jobs.errors import count_noun
from seedfold.jobs.job_differences import Difference
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.cli.grid import fits_terminal, make_console, plain_table
from seedfold.orchestrator.views.comparison import ComparisonTable
from seedfold.orchestrator.views.two_jobs import JobDifferences
from seedfold.results.comparison.paired_metrics import CORRECTED_T, SIGNED_RANK
from seedfold.results.comparison.paired_samples import BOOTSTRAP, DELONG, MCNEMAR
from seedfold.results.comparison.paired_tests import smallest_signed_rank_p
from seedfold.results.comparison.readable_rows import p_text
from seedfold.results.comparison.two_runs import CurveDifference
from seedfold.results.evaluation.axes import format_value, short_names

_UNDEFINED = "-"
_COLUMNS = ("a", "b", "difference", "95 % interval", "p", "adjusted")
_NARROWER = (_COLUMNS, _COLUMNS[2:], ("difference", "p", "adjusted"))
"""The columns that are left out, step by step, of a table that is too wide."""
_LEVEL = 0.05
_EXPLAINED = {
    CORRECTED_T: "p: corrected resampled t-test, since the folds' training sets overlap",
    SIGNED_RANK: "p: Wilcoxon's signed rank test",
    MCNEMAR: "accuracy: McNemar's exact test",
    DELONG: "auroc: DeLong's test, areas within folds",
    BOOTSTRAP: "paired bootstrap: 1000 draws of the samples of each class and fold",
}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ComparisonPrinter:
    """Prints comparisons: with ``decimals``, None for 4, and if ``is_wide`` with every column on any terminal."""

    decimals: int | None = None
    is_wide: bool = False

    def print_comparison(self, table: ComparisonTable) -> None:
        """Print a table for each two values, split and head, and notes below all of them."""
        names = dict.fromkeys(name for row in table.rows for name in row["axes"])
        axes = short_names(
            [name for name in names if len({format_value(row["axes"].get(name)) for row in table.rows}) > 1]
        )
        for _, rows in groupby(table.rows, key=_block_key):
            self._print_block(list(rows), axes)
        _print_reading(table.rows)
        print_text(*table.notes, style="yellow")

    def print_job_differences(self, found: JobDifferences) -> None:
        """Print what differs between two jobs: first their configuration and code, then their results."""
        print_text(f"a  {found.names[0]}", f"b  {found.names[1]}")
        _print_section("configuration", [_key_text(one) for one in found.configuration])
        if found.code is None:
            print_text("code: not recorded for one of them")
        else:
            _print_section("code", found.code)
        _print_section(
            "packages", [f"{name}: {a or 'none'} → {b or 'none'}" for name, (a, b) in found.packages.items()]
        )
        _print_section("host", [f"{found.hosts[0]} → {found.hosts[1]}"] if found.hosts[0] != found.hosts[1] else [])
        for _, rows in groupby(found.rows, key=lambda row: (row["split"], row["head"])):
            self._print_metrics(list(rows))
        if found.curves:
            self._print_curves(found.curves)

    def _print_block(self, rows: Sequence[Row], axes: Mapping[str, str]) -> None:
        first = rows[0]
        place = " ".join(f"{axes[name]}={format_value(value)}" for name, value in first["axes"].items() if name in axes)
        head = "" if first["head"] == "main" else f", head {first['head']}"
        title = f"{format_value(first['a'])} → {format_value(first['b'])}"
        print_text(f"{title}{'  ' if place else ''}{place}  ({first['split']}{head}: {_counts(rows)})", style="bold")
        several = len({row["test"] for row in rows}) > 1
        names = [f"{row['metric']} ({row['test']})" if several else str(row["metric"]) for row in rows]
        for columns in _NARROWER:
            found = plain_table("", *columns)
            for name, row in zip(names, rows, strict=True):
                found.add_text_row(f"  {name}", *(self._cell(row, column) for column in columns))
            if self._is_shown(found):
                return
        for name, row in zip(names, rows, strict=True):
            print_text(f"  {name}", *(f"    {column} {self._cell(row, column)}" for column in _COLUMNS))

    def _print_metrics(self, rows: Sequence[Row]) -> None:
        head = "" if rows[0]["head"] == "main" else f", head {rows[0]['head']}"
        samples = next((f": {count_noun(row['n'], 'sample')}" for row in rows if row["test"]), "")
        print_text(f"{rows[0]['split']}{head}{samples}", style="bold")
        for columns in (*_NARROWER, ("difference",)):
            found = plain_table("", *columns, "test")
            for row in rows:
                found.add_text_row(
                    f"  {row['metric']}", *(self._cell(row, column) for column in columns), row["test"] or _UNDEFINED
                )
            if self._is_shown(found, always=columns == ("difference",)):
                return

    def _print_curves(self, curves: Sequence[CurveDifference]) -> None:
        print_text("learning curves", style="bold")
        found = plain_table("", "epochs", "last a", "last b", "best a", "at", "best b", "at")
        for each in curves:
            epochs = str(each.epochs[0]) if each.epochs[0] == each.epochs[1] else f"{each.epochs[0]}, {each.epochs[1]}"
            best = [text for at in (0, 1) for text in (self._number(each.best[at]), str(each.best_epoch[at]))]
            found.add_text_row(f"  {each.column}", epochs, *map(self._number, each.last), *best)
        if self._is_shown(found):
            return
        for each in curves:
            print_text(f"  {each.column}: best {self._number(each.best[0])} → {self._number(each.best[1])}")

    def _cell(self, row: Row, column: str) -> str:
        if column == "95 % interval":
            return _UNDEFINED if row["low"] is None else f"{self._signed(row['low'])} … {self._signed(row['high'])}"
        if column == "difference":
            return self._signed(row["difference"])
        if column in ("a", "b"):
            return self._number(row[f"mean_{column}"])
        return p_text(row["p" if column == "p" else "p_adjusted"])

    def _number(self, value: float | None) -> str:
        return _UNDEFINED if value is None else format(value, self._form(value))

    def _signed(self, value: float | None) -> str:
        return _UNDEFINED if value is None else format(value, f"+{self._form(value)}")

    def _form(self, value: float) -> str:
        if self.decimals is not None:
            return f".{self.decimals}f"
        return ".4g" if abs(value) >= 100 else ".4f"

    def _is_shown(self, table: Table, *, always: bool = False) -> bool:
        """Print a table if it fits the terminal; return whether it did."""
        shown = always or self.is_wide or fits_terminal(table)
        if shown:
            make_console(self.is_wide).print(table)
        return shown


def _block_key(row: Row) -> str:
    return repr([row.get(name) for name in ("stage", "axes", "a", "b", "split", "head")])


def _counts(rows: Sequence[Row]) -> str:
    """How many pairs, of how many there would be; or how many samples."""
    if "expected" not in rows[0]:
        return count_noun(rows[0]["n"], "sample")
    found = sorted({row["n"] for row in rows})
    shown = str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
    return f"{shown} of {count_noun(rows[0]['expected'], 'pair')}"


def _print_reading(rows: Sequence[Row]) -> None:
    tests = list(dict.fromkeys(str(row["test"]) for row in rows if row["test"]))
    print_text(
        "difference: b minus a, the mean over the pairs; adjusted: p after Holm"
        if tests and tests[0] in (CORRECTED_T, SIGNED_RANK)
        else "difference: b minus a, on the same samples; adjusted: p after Holm",
        *(_EXPLAINED[test] for test in tests),
        style="dim",
    )
    print_text(*_warnings(rows), style="yellow")


def _warnings(rows: Sequence[Row]) -> Iterable[str]:
    few = {row["independent"] for row in rows if row["test"] == SIGNED_RANK and row["p"] is not None}
    few = {n for n in few if smallest_signed_rank_p(n) >= _LEVEL}
    if few:
        n = max(few)
        least = smallest_signed_rank_p(n)
        yield f"{count_noun(n, 'pair')}: Wilcoxon's p cannot be below {least:.3g}; use more seeds for a smaller p"
    if any(row.get("independent") == 1 for row in rows):
        yield "one pair is too few for a test: add seeds or folds"
    if any(row["test"] == CORRECTED_T for row in rows):
        yield "the interval assumes that folds are independent and is too narrow: use p instead"


def _print_section(title: str, lines: Sequence[str]) -> None:
    print_text(f"{title}: {'the same' if not lines else ''}".rstrip(), *(f"  {line}" for line in lines))


def _key_text(one: Difference) -> str:
    left, right = (json.dumps(value, ensure_ascii=False, default=str) for value in (one.left, one.right))
    return f"{one.key}: {left} → {right}" + ("" if one.counts else "  (not part of the id)")
