"""Schedules of faults: pure values, made from a seed. The same seed makes the same schedule.

When a fault comes depends on how far the jobs are: a step waits until jobs have noted so many more of their own steps,
and then a little longer. Processes run as fast as they do, so a seed that failed once need not fail every time.
"""

from __future__ import annotations

import errno
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from faults.schedulers import COMMANDS, DAEMONS, MODES, NODES, SchedulerName
from faults.study import HEARTBEAT_S, SILENT_S

Kind = Literal["local", "hosts", "caches", "errors", "full", "clocks", "files", "users", "lsf", "slurm", "daemons"]
Action = Literal["command", "signal", "weather", "crash", "cut", "odd", "node", "daemon"]
PROCESSES = ("worker", "template", "job", "starter", "command")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
FILES = ("events/*", "claims/*/*", "submissions/*/intent.json", "submissions/*/submitted.json", "submissions/*/tasks/*",
         "store/*/*/result.json", "store/*/*/predictions*", "plans/*")  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A host: its name, how long its mount keeps what it knows (None: no cache), and how far its clock is off."""

    name: str | None = None
    keep_s: float | None = None
    clock_shift_s: float = 0.0
    user: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, on one host, after ``after_notes`` more notes of jobs and then ``after_s`` seconds.

    ``what`` is a command, the kind of a process, or a pattern of files. ``number`` is a signal or an error number, and
    ``amount`` a time in seconds for which something lasts, or a share.
    """

    action: Action
    host: int = 0
    what: str = ""
    number: int = 0
    amount: float = 0.0
    share: float = 0.0
    after_notes: int = 0
    after_s: float = 0.0
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """Hosts, and what happens on them."""

    seed: int
    kind: Kind
    hosts: tuple[HostPlan, ...]
    steps: tuple[Step, ...]
    step_s: float = 0.05
    snapshot: bool = False
    overrides: tuple[str, ...] = ()
    dialect: str = "lsf10"

    @property
    def scheduler(self) -> SchedulerName | None:
        """The scheduler that its jobs are sent to."""
        return _SCHEDULERS.get(self.kind)

    @property
    def has_own_cluster(self) -> bool:
        """Whether the scheduler is there for it alone, so that its daemons may be killed."""
        return self.kind in {"lsf", "daemons"}

    @property
    def has_own_hosts(self) -> bool:
        """Whether it needs namespaces."""
        return any(host.name is not None for host in self.hosts)

    @property
    def has_users(self) -> bool:
        """Whether commands are those of several users, which needs root."""
        return any(host.user is not None for host in self.hosts)

    @property
    def has_caches(self) -> bool:
        """Whether it needs FUSE."""
        return any(host.keep_s is not None for host in self.hosts)

    @property
    def lines(self) -> list[str]:
        """It for people."""
        return [f"seed {self.seed}, {self.kind}", *map(str, self.hosts), *map(str, self.steps)]


def make_schedule(seed: int, kind: Kind) -> Schedule:
    """The schedule of a seed."""
    dice = random.Random(f"{kind} {seed}")
    return _MAKERS[kind](seed, dice)


def _pause(dice: random.Random) -> dict[str, float | int]:
    notes = dice.choice([0, 0, 1, 2, 4, 8, 16])
    return {"after_notes": notes, "after_s": dice.choice([0.0, 0.0, dice.uniform(0, 0.1), dice.uniform(0, 0.6)])}


def _command(dice: random.Random, host: int, what: str, **more: object) -> Step:
    return Step("command", host, what, **{**_pause(dice), **more})  # type: ignore[arg-type]


def _signal(dice: random.Random, host: int, longest_s: float = 2.5) -> Step:
    number = dice.choice(SIGNALS)
    lasts = dice.uniform(0.2, longest_s) if number == signal.SIGSTOP else 0.0
    what = dice.choice(PROCESSES)
    return Step("signal", host, what, int(number), lasts, **_pause(dice))  # type: ignore[arg-type]


def _local(seed: int, dice: random.Random) -> Schedule:
    steps = [Step("command", 0, "launch")]
    for _ in range(dice.randint(2, 5)):
        choice = dice.random()
        if choice < 0.62:
            steps.append(_signal(dice, 0))
        elif choice < 0.72:
            steps.append(_command(dice, 0, dice.choice(["states", "status"]), waits=dice.random() < 0.5))
        elif choice < 0.9:
            steps.append(_command(dice, 0, dice.choice(["resume", "launch"])))
        elif choice < 0.96:
            steps += [_command(dice, 0, "cancel", waits=True), _command(dice, 0, "resume")]
        else:
            steps.append(Step("crash", 0, **_pause(dice)))  # type: ignore[arg-type]
    if dice.random() < 0.4:
        # Two launches at the same moment.
        steps[1:1] = [Step("command", 0, "launch", after_s=dice.choice([0.0, 0.02, 0.3]))]
    return Schedule(seed, "local", (HostPlan(),), tuple(steps), dice.choice([0.02, 0.05, 0.1]), dice.random() < 0.15)


def _several_hosts(
    seed: int, kind: Kind, dice: random.Random, make_host: Callable[[int], HostPlan], longest_stop_s: float
) -> Schedule:
    hosts = tuple(make_host(number) for number in range(dice.choice([2, 2, 3])))
    # With a limit, the hosts work side by side; without, the others take over what the first leaves.
    first = dice.choice(["launch", "launch --limit 2", "launch --limit 4"])
    steps = [Step("command", 0, first), _command(dice, 1, dice.choice(["launch", "resume"]))]
    for _ in range(dice.randint(2, 4)):
        host = dice.randrange(len(hosts))
        choice = dice.random()
        if choice < 0.45:
            steps.append(_signal(dice, host, longest_stop_s))
        elif choice < 0.6:
            steps.append(_command(dice, host, "states", waits=True))
        elif choice < 0.9:
            steps.append(_command(dice, host, dice.choice(["resume", "launch"])))
        else:
            steps.append(Step("crash", host, **_pause(dice)))  # type: ignore[arg-type]
    return Schedule(seed, kind, hosts, tuple(steps), dice.choice([0.05, 0.1, 0.2]))


def _hosts(seed: int, dice: random.Random) -> Schedule:
    # Some sites give all their machines one name.
    one_name = dice.random() < 0.3
    return _several_hosts(seed, "hosts", dice, lambda n: HostPlan("node" if one_name else f"node{n}"), 1.5 * SILENT_S)


def _users(seed: int, dice: random.Random) -> Schedule:
    users = (1, 2, 3)
    return _several_hosts(seed, "users", dice, lambda number: HostPlan(user=users[number]), 2.5)


def _caches(seed: int, dice: random.Random) -> Schedule:
    keep_s = dice.choice([0.1, 0.3, 0.7])
    return _several_hosts(seed, "caches", dice, lambda n: HostPlan(f"node{n}", keep_s), 2.5)


def _clocks(seed: int, dice: random.Random) -> Schedule:
    def make_host(number: int) -> HostPlan:
        shift = dice.choice([0.0, 2 * HEARTBEAT_S, 1.5 * SILENT_S, 60.0, 900.0]) * dice.choice([-1, 1])
        return HostPlan(f"node{number}", None, shift)

    return _several_hosts(seed, "clocks", dice, make_host, 2.5)


def _errors(seed: int, dice: random.Random) -> Schedule:
    hosts = tuple(HostPlan(f"node{number}", dice.choice([0.0, 0.2])) for number in range(dice.choice([1, 2])))
    steps = [Step("command", 0, "launch")]
    for _ in range(dice.randint(1, 3)):
        number = dice.choice([errno.EIO, errno.ESTALE, errno.EINTR])
        host, share = dice.randrange(len(hosts)), dice.choice([0.005, 0.02, 1.0])
        lasts = dice.uniform(0.1, 0.7) if share == 1.0 else dice.uniform(0.5, 3.0)
        steps.append(Step("weather", host, "error", number, lasts, share, **_pause(dice)))  # type: ignore[arg-type]
        steps.append(_command(dice, dice.randrange(len(hosts)), dice.choice(["states", "resume", "launch"])))
    return Schedule(seed, "errors", hosts, tuple(steps), dice.choice([0.05, 0.1]))


def _full(seed: int, dice: random.Random) -> Schedule:
    hosts = (HostPlan("node0", 0.0),)
    steps = [Step("command", 0, "launch")]
    for _ in range(dice.randint(1, 2)):
        number = dice.choice([errno.ENOSPC, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
        lasts = dice.uniform(0.2, 2.5)
        steps.append(Step("weather", 0, "full", number, lasts, **_pause(dice)))  # type: ignore[arg-type]
        steps.append(_command(dice, 0, dice.choice(["states", "resume", "launch"])))
    return Schedule(seed, "full", hosts, tuple(steps), 0.05)


def _cut(dice: random.Random) -> Step:
    return Step("cut", 0, dice.choice(FILES), amount=dice.random(), share=dice.random())


def _files(seed: int, dice: random.Random) -> Schedule:
    steps = [Step("command", 0, "launch")]
    for _ in range(dice.randint(1, 2)):
        steps.append(Step("crash", 0, after_notes=dice.randint(2, 50)))
        steps += [_cut(dice) for _ in range(dice.randint(1, 2))]
        steps += [_command(dice, 0, "status", waits=True), _command(dice, 0, dice.choice(["resume", "launch"]))]
    return Schedule(seed, "files", (HostPlan(),), tuple(steps), 0.02)


def _cluster(seed: int, kind: Kind, dice: random.Random) -> Schedule:
    scheduler, has_own = _SCHEDULERS[kind], kind in {"lsf", "daemons"}
    steps = [Step("command", 0, "launch")]
    if dice.random() < 0.5:
        # The command of the launch itself is disturbed.
        steps.insert(0, _odd(dice, COMMANDS[scheduler][0]))
    for _ in range(dice.randint(2, 4)):
        choice = dice.random()
        if choice < 0.4:
            kills = kind == "daemons" and choice < 0.3
            steps.append(_daemon(dice) if kills else _odd(dice, dice.choice(COMMANDS[scheduler])))
        elif choice < 0.65:
            steps.append(_signal(dice, 0))
        elif choice < 0.72 and has_own:
            steps.append(Step("node", 0, dice.choice(NODES), amount=dice.uniform(0.5, 3), **_pause(dice)))  # type: ignore[arg-type]
        elif choice < 0.8:
            steps += [_command(dice, 0, "cancel", waits=True), _command(dice, 0, "resume")]
        else:
            steps.append(_command(dice, 0, dice.choice(["states", "status", "resume", "launch"])))
    overrides = (
        f"cluster={scheduler}", "cluster.settle_s=2", "cluster.query_timeout_s=2", "cluster.margin_s=60",
        f"cluster.jobs_per_task={dice.choice([2, 3, 6])}", f"cluster.keeper={dice.choice(['true', 'false'])}",
    )  # fmt: skip
    dialect = dice.choice(["lsf10", "classic"])
    return Schedule(seed, kind, (HostPlan(),), tuple(steps), 0.05, overrides=overrides, dialect=dialect)


def _daemon(dice: random.Random) -> Step:
    return Step("daemon", 0, dice.choice(DAEMONS), amount=dice.uniform(0.0, 6.0), **_pause(dice))  # type: ignore[arg-type]


def _odd(dice: random.Random, command: str) -> Step:
    mode = dice.choice(MODES)
    return Step("odd", 0, f"{command} {mode}", amount=dice.uniform(0.5, 5.0), **_pause(dice))  # type: ignore[arg-type]


_SCHEDULERS: dict[Kind, SchedulerName] = {"lsf": "lsf", "slurm": "slurm", "daemons": "slurm"}
_MAKERS: dict[Kind, Callable[[int, random.Random], Schedule]] = {
    "local": _local,
    "hosts": _hosts,
    "caches": _caches,
    "clocks": _clocks,
    "errors": _errors,
    "full": _full,
    "files": _files,
    "users": _users,
    "lsf": lambda seed, dice: _cluster(seed, "lsf", dice),
    "slurm": lambda seed, dice: _cluster(seed, "slurm", dice),
    "daemons": lambda seed, dice: _cluster(seed, "daemons", dice),
}
KINDS: tuple[Kind, ...] = tuple(_MAKERS)


def parse_kind(name: str) -> Kind:
    """The kind of this name. Raises KeyError if there is none."""
    return {str(kind): kind for kind in KINDS}[name]
