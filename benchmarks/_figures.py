"""What a benchmark returns, how it measures, and the table that is printed."""

from __future__ import annotations

import argparse
import inspect
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

Unit = Literal["s", "B", "files", "%", "epochs", "calls"]
Work = Callable[[], object]


VERSIONS = ("seedfold", "hydra-core", "submitit", "torch", "pyarrow")
"""Packages whose versions are told."""


class NotMeasured(Exception):
    """What the benchmark needs is not on this machine."""


@dataclass(frozen=True)
class Figure:
    """What some work takes with Seedfold and with a peer, measured in the same run.

    ``most`` is the most that Seedfold may take, in ``unit``; ``most_of_peer`` is the same as a multiple of the peer.
    """

    name: str
    seedfold: float
    peer: float | None = None
    peer_name: str = ""
    unit: Unit = "s"
    most: float | None = None
    most_of_peer: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as much as Seedfold the peer takes."""
        return None if self.peer is None else self.peer / self.seedfold

    @property
    def limit(self) -> float | None:
        """The target in ``unit``; None where there is none."""
        return self.peer * self.most_of_peer if self.peer and self.most_of_peer else self.most

    @property
    def target_missed(self) -> bool:
        """Whether Seedfold takes more than its target."""
        return self.limit is not None and self.seedfold > self.limit

    def row(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        peer = "-" if self.peer is None else quantity(self.peer, self.unit)
        ratio = "-" if self.ratio is None else f"{self.ratio:,.{0 if self.ratio >= 20 else 2}f}"
        return self.name, quantity(self.seedfold, self.unit), peer, self.peer_name, ratio, self._target()

    def _target(self) -> str:
        if self.limit is None:
            return "-"
        text = f"{self.most_of_peer:g} x peer" if self.most_of_peer else quantity(self.limit, self.unit)
        return f"[red]≤ {text}  ✗ missed" if self.target_missed else f"[green]≤ {text}  ✓"


def quantity(value: float, unit: Unit) -> str:
    """Return a number with its unit, in three digits."""
    factor, name = 1.0, str(unit)
    if unit == "s" and value < 1:
        factor, name = (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
    return f"{float(f'{value * factor:.3g}'):,g} {name}"


def seconds(work: Work, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long ``work`` takes."""
    begin = clock()
    work()
    return clock() - begin


def medians(rounds: int, *works: Work) -> tuple[float, ...]:
    """Return the median seconds of each work, after a round that does not count.

    The works take turns, so that whatever else the machine does slows all of them.
    """
    counted = [[seconds(work) for work in works] for _ in range(rounds + 1)][1:]
    return tuple(statistics.median(column) for column in zip(*counted, strict=True))


def show(figures: Sequence[Figure], quick: bool) -> None:
    """Print the table."""
    sizes = "small sizes; the targets are those of full size" if quick else "full size"
    table = Table(title=f"Seedfold beside its peers: {sizes}", box=SIMPLE)
    table.add_column("figure")
    table.add_column("Seedfold", justify="right")
    table.add_column("peer", justify="right")
    table.add_column("the peer is")
    table.add_column("peer / Seedfold", justify="right")
    table.add_column("target")
    for figure in figures:
        table.add_row(*figure.row())
    # A log has no width of its own, and rich takes 80 columns.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)
    console.print(f"{machine()}; {', '.join(f'{name} {version(name)}' for name in VERSIONS)}", soft_wrap=True)


def machine() -> str:
    """Return the machine in words: its processor, how many of them, and its memory."""
    models = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    busy = os.getloadavg()[0]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} CPUs, {memory:.0f} GB, load {busy:.1f}"


def main(measure: Callable[[bool], list[Figure]]) -> None:
    """Be the program that runs one benchmark and prints its table."""
    module = inspect.getmodule(measure)
    formatter = argparse.RawDescriptionHelpFormatter
    arguments = argparse.ArgumentParser(description=module.__doc__ if module else None, formatter_class=formatter)
    arguments.add_argument("--quick", action="store_true", help="small sizes, to see that the benchmark works")
    quick = arguments.parse_args().quick
    try:
        show(measure(quick), quick)
    except NotMeasured as reason:
        sys.exit(f"not measured: {reason}")
