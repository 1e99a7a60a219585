"""Run all benchmarks, each in a process of its own, and print one table: ``python -m benchmarks.run [--quick]``.

What misses its target comes first.

The exit code is 1 if a benchmark fails, after the others have run, or if a target is missed at full size.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from benchmarks._figures import Figure, NotMeasured, show

PR_SET_PDEATHSIG = 1
IMPORTED = ("pandas", "pytorch_lightning", "seedfold.trainers.stages.fit_predict", "torch._dynamo")
"""What most benchmarks import, at small sizes once for all of them."""


def names() -> list[str]:
    """Return the benchmarks: all files here but this one and those that begin with an underscore."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py") if path.name != Path(__file__).name)


def clean_up_and_end(number: int, frame: object) -> None:
    """End in order when the runner has ended; the kernel says so once for each of its threads."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit()


def end_with_runner() -> None:
    """Have this process clean up and end when the one that started it ends, however that comes about."""
    starter = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, clean_up_and_end)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != starter:
        os._exit(1)


def measured(name: str, quick: bool) -> list[Figure]:
    """Run one benchmark in this process."""
    runner = os.getppid()
    try:
        figures: list[Figure] = importlib.import_module(f"benchmarks.{name}").measure(quick)
    finally:
        if os.getppid() != runner:  # a process of a pool waits for more work, also from a runner that is gone
            os._exit(1)
    return figures


def measured_alone(name: str, quick: bool) -> list[Figure]:
    """Run a benchmark in a process of its own; a fresh one at full size, where what was imported before would count."""
    begin = time.perf_counter()
    try:
        context = multiprocessing.get_context("forkserver" if quick else "spawn")
        with ProcessPoolExecutor(1, context, initializer=end_with_runner) as process:
            return process.submit(measured, name, quick).result()
    finally:
        print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Run all, print the table and what could not be measured, and exit."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="small sizes, to see that every benchmark works")
    quick = arguments.parse_args().quick
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # else the benchmarks that are left would still be run
    figures: list[Figure] = []
    remarks, failed = [], False
    multiprocessing.get_context("forkserver").set_forkserver_preload([*IMPORTED])
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
    show(sorted(figures, key=lambda figure: not figure.target_missed), quick)
    for remark in remarks:
        print(remark)
    sys.exit(failed or (not quick and any(figure.target_missed for figure in figures)))


if __name__ == "__main__":
    main()
