"""Kill processes of a search at random moments, let the user's commands run again, and check what is left.

    python tests/search_kills/run.py --on local --trials 300 --kills 20 --seed 1
    python tests/search_kills/run.py --on slurm                  # a SLURM of its own
    python tests/search_kills/run.py --on lsf                    # a fake LSF of its own

The seed chooses what is killed after how many epochs, and which command runs then. The folder is kept if something does
not hold.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

if not __package__:  # run as a program
    sys.path.insert(0, str(Path(__file__).parents[1]))

from clusters.lsf.cluster import running as running_lsf
from clusters.lsf.settings import Settings as LsfSettings
from clusters.slurm.cluster import running as running_slurm
from clusters.slurm.configuration import Settings as SlurmSettings
from faults.hosts import import_commands
from faults.processes import Process, find_processes, kill_all
from isolation import isolate_environment
from search_kills.invariants import Check
from search_kills.study import STUDY, Command, Project, write_project

LOCAL = ("worker", "worker", "template", "job", "job", "command", "all")
ON_CLUSTER = ("worker", "worker", "template", "job", "job", "command", "command", "task", "all")
_PORT = 27_500
_LOOK_S = 0.05
_QUIET_S = 6.0
"""After so long without anything new the user looks, and resumes."""
_STANDSTILL_S = 300.0
_END_S = 60.0


class Havoc:
    """One search, and what is done to it."""

    def __init__(self, project: Project, place: str, kills: int, seed: int) -> None:
        self.project, self.place, self.kills = project, place, kills
        self.dice = random.Random(f"{place}/{seed}")
        self.killed: list[str] = []
        self.trouble: list[str] = []
        self.moved = time.monotonic(), 0

    def run(self) -> None:
        """Begin the search, kill, bring it to its end, and wait for its processes."""
        self._finish(self.project.start(*self.project.launch))
        # A trial is trained for 2.4 epochs in the mean. The last ones are left to bring the search to its end.
        moments = sorted(self.dice.randrange(self.project.trials * 2) for _ in range(self.kills))
        for moment in moments:
            self._go_on(until=moment)
            self._kill(self.dice.choice(LOCAL if self.place == "local" else ON_CLUSTER))
        self._go_on(until=None)
        self._wait_for_the_last()

    # --- going on -----------------------------------------------------------------------------------------------------

    def _go_on(self, until: int | None) -> None:
        """Wait until so many epochs were trained, or until the search is over; do what a patient user does."""
        while until is None or len(self.project.notes()) < until:
            progress = len(self.project.notes()), len(list(self._decisions.glob("*.json")))
            now, (since, before) = time.monotonic(), self.moved
            if sum(progress) != before:
                self.moved = now, sum(progress)
            elif now - since > _STANDSTILL_S:
                self.trouble.append(f"the search stands still, with {progress}")
                return
            elif now - since > _QUIET_S or (until is None and now - since > 1):
                search = self.project.search()
                # SLURM calls a killed task cancelled, and so may the search be, after the user has last looked.
                if search.is_over() and not search.is_cancelled:
                    return
                if now - since > _QUIET_S:
                    self._finish(self.project.start(*self._a_command()))
            time.sleep(_LOOK_S)

    @property
    def _decisions(self) -> Path:
        return self.project.toy.study(STUDY).decisions_folder

    def _a_command(self) -> tuple[str, ...]:
        """What a user may type to have the search go on."""
        choices = [self.project.launch, ("resume", STUDY, "--detach")]
        if self.place != "local":
            choices += [("advance", STUDY), ("status", STUDY)]
        return self.dice.choice(choices)

    def _finish(self, command: Command) -> None:
        code = command.wait()
        if code not in {0, 1, 3}:
            self.trouble.append(f"{' '.join(command.args)} ended with {code}: {command.output.read_text()[-500:]}")

    # --- killing ------------------------------------------------------------------------------------------------------

    def _kill(self, what: str) -> None:
        time.sleep(self.dice.uniform(0, 0.5))
        if what == "command":
            self._kill_command()
        elif what == "task":
            self._cancel_task()
        else:
            found = find_processes(self.project.toy.folder)
            victims = found if what == "all" else [one for one in found if one.what == what] or found
            chosen = victims if what == "all" else [self.dice.choice(victims)] if victims else []
            for victim in chosen:
                victim.send(signal.SIGKILL)
            self._note(what if what == "all" or not chosen else _short(chosen[0]))
        if self.dice.random() < 0.7:
            self._finish(self.project.start(*self._a_command()))

    def _kill_command(self) -> None:
        command = self.project.start(*self._a_command())
        until = time.monotonic() + self.dice.uniform(0.02, 1.5)
        while time.monotonic() < until and not command.has_ended():
            time.sleep(0.01)
        self._note(f"{command.args[0]}{' (it had ended)' if command.has_ended() else ''}")
        command.kill()
        command.wait()

    def _cancel_task(self) -> None:
        """A task gets SIGKILL from the scheduler."""
        workers = [one for one in find_processes(self.project.toy.folder) if one.what == "worker"]
        if workers:
            # A worker that has just ended has no environment any more.
            with suppress(FileNotFoundError, KeyError):
                lines = Path(f"/proc/{self.dice.choice(workers).pid}/environ").read_text().split("\0")
                there = dict(line.partition("=")[::2] for line in lines)
                subprocess.run(_kill_line(there), env={**os.environ, **self.project.environment}, check=False)
        self._note("a task" if workers else "nothing")

    def _note(self, what: str) -> None:
        self.killed.append(what)
        print(f"  after {len(self.project.notes())} epochs: killed {what}", flush=True)

    def _wait_for_the_last(self) -> None:
        end = time.monotonic() + _END_S
        while find_processes(self.project.toy.folder) and time.monotonic() < end:
            time.sleep(_LOOK_S)
        self.trouble += [
            f"left behind: {one.what}, process {one.pid}" for one in find_processes(self.project.toy.folder)
        ]


def _kill_line(there: Mapping[str, str]) -> list[str]:
    """The scheduler's command that kills the task which has this environment."""
    if "LSB_JOBID" in there:
        return ["bkill", "-s", "KILL", f"{there['LSB_JOBID']}[{there['LSB_JOBINDEX']}]"]
    task = f"{there['SLURM_ARRAY_JOB_ID']}_{there['SLURM_ARRAY_TASK_ID']}"
    return ["scancel", "--signal=KILL", "--full", task]


def _short(process: Process) -> str:
    return process.what if len(process.what) < 20 else process.what.rpartition("/")[2][:40]


@contextmanager
def open_place(place: str, folder: Path) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """Yield the overrides and variables of a place, which is up meanwhile."""
    if place == "local":
        yield (), {}
    elif place == "slurm":
        # The path of a socket has to be short.
        own = Path(tempfile.mkdtemp(prefix="slurm-"))
        with running_slurm(own, SlurmSettings(nodes=1, port=_PORT)) as cluster:
            yield ("cluster=slurm",), {"SLURM_CONF": str(cluster.conf)}
        shutil.rmtree(own)
    else:
        (folder / "lsf").mkdir()
        with running_lsf(folder / "lsf", LsfSettings(dialect="classic", time_scale=0.05)) as lsf:
            yield ("cluster=lsf",), {**lsf.variables, "PATH": f"{lsf.bin}:{os.environ['PATH']}"}


def havoc(place: str, trials: int, parallel: int, kills: int, seed: int, sleep_s: float, folder: Path) -> list[str]:
    """Kill one search again and again; return what does not hold, and print what was done."""
    import_commands()
    import optuna  # noqa: F401

    folder.mkdir(parents=True)
    (folder / "isolated").mkdir()
    isolate_environment(folder / "isolated")
    began = time.monotonic()
    with open_place(place, folder) as (overrides, variables):
        slots = (f"cluster.slots={parallel}",) if place == "local" else ()
        project = write_project(folder / "project", trials, parallel, sleep_s, (*overrides, *slots), variables)
        one = Havoc(project, place, kills, seed)
        try:
            one.run()
        finally:
            kill_all(project.toy.folder)
    found = Check(project, len(one.killed), one.trouble).violations()
    counts = ", ".join(f"{count} {what}" for what, count in Counter(one.killed).most_common())
    print(f"{place}, seed {seed}: {trials} trials, {len(project.notes())} epochs, killed {counts}", flush=True)
    print(f"  {time.monotonic() - began:.0f} s; {len(found)} invariants do not hold", flush=True)
    return found


def main() -> int:
    """Do what the command line asks for; 1 if an invariant does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=["local", "slurm", "lsf"], default="local", help="where (%(default)s)")
    parser.add_argument("--trials", type=int, default=300, help="trials of the search (%(default)s)")
    parser.add_argument("--parallel", type=int, default=4, help="jobs at a time (%(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="how often something is killed (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="what is killed when (%(default)s)")
    parser.add_argument("--sleep", type=float, default=0.05, help="seconds that an epoch takes (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where it runs; default: a new temporary folder")
    args = parser.parse_args()
    folder = (args.folder or Path(tempfile.mkdtemp(prefix="search-kills-")) / "run").resolve()
    found = havoc(args.on, args.trials, args.parallel, args.kills, args.seed, args.sleep, folder)
    print("\n".join(f"  {line}" for line in found))
    if found:
        print(f"  its files: {folder}")
    else:
        shutil.rmtree(folder)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
