"""Run all benchmarks, each in a process of its own, and print one table: ``python -m benchmarks.run [--quick]``.

The exit code is 1 if a benchmark fails, after the others have run, or if a target is missed at full size.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from benchmarks._figures import Figure, NotMeasured, show


def names() -> list[str]:
    """Return the benchmarks: all files here but this one and those that begin with an underscore."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py") if path.name != Path(__file__).name)


def measured(name: str, quick: bool) -> list[Figure]:
    """Run one benchmark in this process."""
    figures: list[Figure] = importlib.import_module(f"benchmarks.{name}").measure(quick)
    return figures


def measured_alone(name: str, quick: bool) -> list[Figure]:
    """Run a benchmark in a fresh process: what another one imported or left in memory changes what is measured."""
    begin = time.perf_counter()
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            return process.submit(measured, name, quick).result()
    finally:
        print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Run all, print the table and what could not be measured, and exit."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="small sizes, to see that every benchmark works")
    quick = arguments.parse_args().quick
    figures: list[Figure] = []
    remarks, failed = [], False
    # Two at a time disturb each other, which only matters where the figures do.
    with ThreadPoolExecutor(2 if quick else 1) as turns:
        runs = {name: turns.submit(measured_alone, name, quick) for name in names()}
    for name, run in runs.items():
        try:
            figures += run.result()
        except NotMeasured as reason:
            remarks.append(f"{name}: not measured: {reason}")
        except Exception:
            traceback.print_exc()
            remarks.append(f"{name}: FAILED; the traceback is above")
            failed = True
    show(figures, quick)
    for remark in remarks:
        print(remark)
    sys.exit(failed or (not quick and any(figure.target_missed for figure in figures)))


if __name__ == "__main__":
    main()
