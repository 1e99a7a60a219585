"""Run schedules of faults over a small study, and say what they found.

    python tests/faults/run.py --kind local --seed 1234          # one schedule again
    python tests/faults/run.py --count 50                        # 50 of each kind, from seed 0 on
    python tests/faults/run.py --count 500 --kind hosts --from 1000 --side-by-side 4

Where a schedule fails, its folder is kept, and the line that runs it again is printed.
"""

from __future__ import annotations

import argparse
import fcntl
import pickle
import select
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

if not __package__:  # run as a program
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.execution import Execution
from faults.forked import ForkedCall, call_in_fork
from faults.hosts import import_commands
from faults.invariants import Check, Undisturbed, read_undisturbed
from faults.namespaces import reason_against_fuse, reason_against_hosts
from faults.schedule import KINDS, HostPlan, Schedule, Step, make_schedule, parse_kind
from faults.schedulers import reason_against
from isolation import isolate_environment


@dataclass
class Outcome:
    """How one schedule ended."""

    kind: str
    seed: int
    violations: list[str] = field(default_factory=list)
    excused: int = 0
    what: list[str] = field(default_factory=list)
    seconds: float = 0.0


def undisturbed_run(folder: Path) -> Undisturbed:
    """Run the study once without faults."""
    schedule = Schedule(0, "local", (HostPlan(),), (Step("command", 0, "launch"),), step_s=0.01)
    findings = Execution(schedule, folder).run()
    assert not findings.complaints, findings.complaints
    return read_undisturbed(findings)


def try_schedule(schedule: Schedule, undisturbed: Undisturbed, folder: Path) -> Outcome:
    """Carry out a schedule and check what it left."""
    outcome, began = Outcome(schedule.kind, schedule.seed), time.monotonic()
    try:
        findings = Execution(schedule, folder).run()
        check = Check(findings, undisturbed)
        outcome.violations, outcome.what, outcome.excused = check.violations(), findings.killed, len(check.excused)
    except Exception:
        outcome.violations = [f"the harness failed: {traceback.format_exc()}"]
    outcome.seconds = time.monotonic() - began
    return outcome


def run_again_line(outcome: Outcome) -> str:
    """The command that runs this schedule again."""
    return f"python tests/faults/run.py --kind {outcome.kind} --seed {outcome.seed}"


def read_or_make_undisturbed(file: Path, folder: Path) -> Undisturbed:
    """What ``file`` has; whoever comes first makes it, and others wait."""
    with file.open("a+b") as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        kept.seek(0)
        try:
            undisturbed: Undisturbed = pickle.load(kept)
        except EOFError:
            undisturbed = call_in_fork(lambda: undisturbed_run(folder / "undisturbed")).result()
            shutil.rmtree(folder / "undisturbed")
            pickle.dump(undisturbed, kept)
    return undisturbed


def run_schedules(
    schedules: list[Schedule], undisturbed: Undisturbed, side_by_side: int, folder: Path
) -> list[Outcome]:
    """Try schedules, so many at a time, and print each as it ends."""
    waiting, running, outcomes = list(reversed(schedules)), dict[int, tuple[ForkedCall, Path]](), list[Outcome]()
    while waiting or running:
        while waiting and len(running) < side_by_side:
            schedule = waiting.pop()
            place = folder / f"{schedule.kind}-{schedule.seed}"
            call = call_in_fork(partial(try_schedule, schedule, undisturbed, place))
            running[call.pipe] = call, place
        for pipe in select.select(list(running), [], [])[0]:
            call, place = running.pop(pipe)
            outcomes.append(call.result())
            _print_outcome(outcomes[-1], place)
    return outcomes


def _print_outcome(outcome: Outcome, place: Path) -> None:
    mark = "FAILED" if outcome.violations else "ok"
    print(f"{outcome.kind} {outcome.seed}: {mark}, {outcome.seconds:.1f} s; {', '.join(outcome.what)}", flush=True)
    for line in outcome.violations:
        print(f"  {line}", flush=True)
    if outcome.violations:
        print(f"  to run it again: {run_again_line(outcome)}; its files: {place}", flush=True)
    else:
        shutil.rmtree(place, ignore_errors=True)


def summary(outcomes: list[Outcome], skipped: dict[str, str]) -> str:
    """A table: how many schedules of each kind there were, how many failed, and what was excused."""
    lines = [f"{'kind':<8}{'schedules':>10}{'failed':>8}{'excused':>9}{'seconds':>9}  faults"]
    for kind in dict.fromkeys(outcome.kind for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.kind == kind]
        failed, excused = sum(bool(one.violations) for one in mine), sum(bool(one.excused) for one in mine)
        faults = Counter(" ".join(text.split()[:2]) for one in mine for text in one.what)
        counted = ", ".join(f"{count} {text}" for text, count in faults.most_common(6))
        seconds = sum(one.seconds for one in mine)
        lines.append(f"{kind:<8}{len(mine):>10}{failed:>8}{excused:>9}{seconds:>9.0f}  {counted}")
    return "\n".join([*lines, *(f"{kind:<8}   skipped: {reason}" for kind, reason in skipped.items())])


def reason_to_skip(schedule: Schedule) -> str | None:
    """Why a schedule cannot be carried out here; None if it can."""
    if schedule.scheduler is not None:
        return reason_against(schedule.scheduler, schedule.has_own_cluster)
    if not schedule.has_own_hosts and not schedule.has_users:
        return None
    return reason_against_hosts() or (reason_against_fuse() if schedule.has_caches else None)


def main() -> int:
    """Run what the command line asks for; 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=KINDS, help="repeatable; default: all kinds")
    parser.add_argument("--seed", type=int, help="this seed only")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="the first seed")
    parser.add_argument("--count", type=int, default=10, help="schedules of each kind (%(default)s)")
    parser.add_argument("--side-by-side", type=int, default=2, help="schedules at a time (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where they run; default: a new temporary folder")
    parser.add_argument("--undisturbed", type=Path, help="keep what a run without faults leaves, for the next call")
    parser.add_argument("--show", action="store_true", help="print the schedules and end")
    args = parser.parse_args()
    seeds = [args.seed] if args.seed is not None else range(args.first, args.first + args.count)
    schedules = [make_schedule(seed, parse_kind(kind)) for seed in seeds for kind in args.kind or KINDS]
    if args.show:
        print("\n".join(line for schedule in schedules for line in schedule.lines))
        return 0
    folder = (args.folder or Path(tempfile.mkdtemp(prefix="faults-"))).resolve()
    (folder / "isolated").mkdir(parents=True)
    folder.chmod(0o755)  # Schedules with several users run there as well.
    isolate_environment(folder / "isolated")
    reasons = {schedule.kind: reason_to_skip(schedule) for schedule in schedules}
    import_commands()
    possible = [one for one in schedules if reasons[one.kind] is None]
    undisturbed = read_or_make_undisturbed(args.undisturbed or folder / "undisturbed.pickle", folder)
    outcomes = run_schedules(possible, undisturbed, args.side_by_side, folder)
    print(summary(outcomes, {kind: reason for kind, reason in reasons.items() if reason}))
    failed = any(outcome.violations for outcome in outcomes)
    if not failed:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
