"""Carries out one schedule, brings the study to its end without further faults, and tells what it has seen."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from faults.hosts import Command, Host
from faults.processes import Process, find_processes, kill_all
from faults.schedule import FILES, Schedule, Step
from faults.schedulers import Scheduler
from faults.study import JOBS, STUDY, Project, write_project
from faults.weather import Weather

_LOOK_S = 0.04
_SCAN_S = 0.3
"""Pause between two searches for processes, each of which costs as much as a hundred looks at files."""
_STATUS_S = 3.0
"""Pause between two commands that ask for the status as long as processes are at work."""
_COMMAND_LIMIT_S = 90.0
"""How long a command may take that does not wait for jobs, however busy the machine is."""
_PATIENCE_S = 4.0
"""How long a step waits for jobs that do not go on."""
_STANDSTILL_S = 60.0
"""How long nothing may happen although jobs are left."""
_MOST_ROUNDS = 12
"""How often the jobs that are left are started again."""
_END_S = 20.0


@dataclass(frozen=True, slots=True)
class Look:
    """What `status` said of each job, when it began and ended, and which processes of jobs lived before."""

    host: str
    began: float
    ended: float
    states: dict[str, str]
    pids_before: frozenset[int]


@dataclass
class Findings:
    """What was seen while a schedule was carried out."""

    schedule: Schedule
    project: Project
    looks: list[Look] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    """What was killed or stopped, or what else was done."""
    gaps: dict[str, float] = field(default_factory=dict)
    """The longest time between two heartbeats of each worker, as it was seen on the server."""
    cut_files: list[str] = field(default_factory=list)
    cancelled: bool = False
    orphans: list[Process] = field(default_factory=list)
    table: str = ""


class Execution:
    """One schedule in one folder."""

    def __init__(self, schedule: Schedule, folder: Path) -> None:
        self.schedule, self.dice = schedule, random.Random(schedule.seed)
        self.project = write_project(folder, schedule.has_own_hosts, schedule.has_users)
        self.findings = Findings(schedule, self.project)
        self.hosts = [
            Host(f"h{number}", self.project, plan.name, plan.keep_s, plan.clock_shift_s, schedule.step_s, plan.user)
            for number, plan in enumerate(schedule.hosts)
        ]
        self.scheduler: Scheduler | None = None
        if schedule.scheduler is not None:
            seed = schedule.seed if schedule.has_own_cluster else None
            self.scheduler = Scheduler(schedule.scheduler, folder / "scheduler", schedule.dialect, seed)
        self.running: list[Command] = []
        self.looking: dict[int, frozenset[int]] = {}
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.beats: dict[str, float] = {}
        self.note_count = 0
        self.must_launch = False

    def run(self) -> Findings:
        """Carry out the schedule, and end every process of it."""
        try:
            if self.scheduler is not None:
                self.scheduler.start()
            for host in self.hosts:
                host.variables = self.scheduler.variables if self.scheduler else {}
                host.start()
            for step in self.schedule.steps:
                self._wait_for(step)
                getattr(self, f"_do_{step.action}")(step)
            self._lift_faults()
            self._settle()
        finally:
            self._lift_faults()
            for command in self.running:
                command.kill()
            if self.scheduler is not None:
                self.scheduler.stop()
            kill_all(self.project.folder)
            for host in self.hosts:
                host.shut_down()
        return self.findings

    # --- time ---------------------------------------------------------------------------------------------------------

    def _wait_for(self, step: Step) -> None:
        target, patience = self.note_count + step.after_notes, time.monotonic() + _PATIENCE_S
        while step.after_notes and self.note_count < target and time.monotonic() < patience:
            self._look()
        self._sleep(step.after_s)

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._look()

    def _look(self) -> None:
        """Notice what happens: commands that end, heartbeats, notes, and what is due."""
        time.sleep(_LOOK_S)
        now = time.monotonic()
        for one in [one for one in self.due if one[0] <= now]:
            self.due.remove(one)
            one[1]()
        for command in list(self.running):
            if command.poll() is None and now - command.started > _COMMAND_LIMIT_S:
                command.kill()
                self.findings.complaints.append(f"{command.args[0]} did not end\n{command.complained()}")
            if command.code is not None:
                self._take_end(command)
        for file in self.project.study_folder.glob("submissions/*/tasks/*"):
            self._take_beat(file)
        self.note_count = self.project.notes_file.read_bytes().count(b"\n")

    def _take_beat(self, file: Path) -> None:
        name = f"{file.parents[1].name}/{file.name}"
        with suppress(FileNotFoundError):
            beat = file.stat().st_mtime
            gap = self.findings.gaps.setdefault(name, 0.0)
            self.findings.gaps[name] = max(gap, beat - self.beats.get(name, beat))
            self.beats[name] = beat

    def _take_end(self, command: Command) -> None:
        self.running.remove(command)
        if command.args[0] == "states" and command.code == 0:
            assert command.ended is not None
            states = json.loads(command.printed())
            look = Look(command.host, command.started, command.ended, states, self.looking.pop(command.pid))
            self.findings.looks.append(look)

    # --- what happens -------------------------------------------------------------------------------------------------

    def _start(self, host: Host, *args: str) -> Command:
        command = host.run(args)
        self.running.append(command)
        self.findings.commands.append(command)
        if args[0] == "states":
            self.looking[command.pid] = self._job_pids()
        return command

    def _job_pids(self) -> frozenset[int]:
        return frozenset(one.pid for one in find_processes(self.project.folder) if one.what == "job")

    def _finish(self, command: Command) -> Command:
        while command in self.running:
            self._look()
        return command

    def _do_command(self, step: Step) -> None:
        command = self._start(self.hosts[step.host], *self._arguments(step.what))
        self.findings.cancelled |= step.what == "cancel"
        if step.waits:
            self._finish(command)

    def _arguments(self, what: str) -> tuple[str, ...]:
        what, *more = what.split()
        if what == "launch":
            snapshot = f"cluster.snapshot={str(self.schedule.snapshot).lower()}"
            return *self.project.launch_command, *self.schedule.overrides, snapshot, *more
        return {
            "states": ("states",),
            "status": ("status", STUDY, "--json"),
            "resume": ("resume", STUDY, "--detach"),
            "cancel": ("cancel", STUDY),
        }[what]

    def _do_signal(self, step: Step) -> None:
        host = self.hosts[step.host].key
        if step.what == "command":
            found = [Process(one.pid, "command", host) for one in self.running if one.host == host]
        else:
            everywhere = find_processes(self.project.folder)
            there = [one for one in everywhere if one.host == host]
            found = [one for one in there if one.what == step.what] or there or everywhere
        if not found:
            self.findings.killed.append(f"no {step.what} on {host}")
            return
        victim = self.dice.choice(found)
        victim.send(step.number)
        self.findings.killed.append(f"{signal.Signals(step.number).name} {victim.what} on {victim.host}")
        if step.number == signal.SIGSTOP:
            self.due.append((time.monotonic() + step.amount, lambda: victim.send(signal.SIGCONT)))

    def _do_weather(self, step: Step) -> None:
        file = self.hosts[step.host].weather_file
        weather = Weather(full=step.number) if step.what == "full" else Weather(step.number, step.share)
        weather.write(file)
        self.findings.killed.append(f"{step.what} {os.strerror(step.number)} on {self.hosts[step.host].key}")
        self.due.append((time.monotonic() + step.amount, lambda: Weather().write(file)))

    def _do_odd(self, step: Step) -> None:
        """A command of the scheduler misbehaves for a while."""
        scheduler = self.scheduler
        assert scheduler is not None
        command, mode = step.what.split()
        scheduler.misbehave(command, mode)
        self.findings.killed.append(f"{mode} {command}")
        self.due.append((time.monotonic() + step.amount, lambda: scheduler.behave(command)))

    def _do_node(self, step: Step) -> None:
        """A node of the scheduler loses its power, and comes back."""
        scheduler = self.scheduler
        assert scheduler is not None
        scheduler.crash_node(step.what)
        self.findings.killed.append(f"crash of {step.what}")
        self.due.append((time.monotonic() + step.amount, lambda: scheduler.bring_node_back(step.what)))

    def _do_daemon(self, step: Step) -> None:
        """A daemon of the scheduler is killed, and started again."""
        scheduler = self.scheduler
        assert scheduler is not None
        scheduler.kill_daemon(step.what)
        self.findings.killed.append(f"SIGKILL {step.what}")
        self.due.append((time.monotonic() + step.amount, lambda: scheduler.start_daemon(step.what)))

    def _do_crash(self, step: Step) -> None:
        """The host loses its power."""
        host = self.hosts[step.host]
        for command in [one for one in self.running if one.host == host.key]:
            with suppress(ProcessLookupError):
                os.kill(command.pid, signal.SIGKILL)
        kill_all(self.project.folder, host.key)
        while any(one.host == host.key for one in self.running):
            self._look()
        if host.has_namespaces:
            host.boot()
        self.findings.killed.append(f"crash of {host.key}")

    def _do_cut(self, step: Step) -> None:
        """A file loses its end, as after a crash of the file server."""
        study = self.project.study_folder
        found = (sorted(file for file in study.glob(pattern) if file.stat().st_size) for pattern in (step.what, *FILES))
        for files in filter(None, found):
            file = files[int(step.amount * len(files))]
            os.truncate(file, int(step.share * file.stat().st_size))
            self.findings.cut_files.append(str(file.relative_to(study)))
            self.findings.killed.append(f"cut {file.relative_to(study).parts[0]}")
            return

    # --- the end ------------------------------------------------------------------------------------------------------

    def _lift_faults(self) -> None:
        for _, action in self.due:
            action()
        self.due.clear()

    def _settle(self) -> None:
        """Do as a patient user does: look at the status, and resume as long as jobs are not done and none is active."""
        rounds, progress, moved = 0, -1, time.monotonic()
        while time.monotonic() - moved < _STANDSTILL_S and rounds < _MOST_ROUNDS:
            if self._progress() != progress:
                progress, moved = self._progress(), time.monotonic()
            if self.scheduler is not None:
                self.scheduler.put_in_service()
            states = self._states(self.hosts[rounds % len(self.hosts)])
            if states.get("done") == JOBS:
                break
            if not states.get("running") and not states.get("submitted"):
                rounds += 1
                what = "resume" if states and not self.must_launch else "launch"
                self.must_launch = False
                self._finish(self._start(self.hosts[rounds % len(self.hosts)], *self._arguments(what)))
            self._sleep_while_at_work(_STATUS_S)
        else:
            self.findings.complaints.append(f"the study did not come to its end: {states}")
        self._wait_for_the_last()
        table = self._finish(self._start(self.hosts[0], "results", STUDY, "--format", "csv"))
        self.findings.table = table.printed()
        if table.code:
            self.findings.complaints.append(f"results: {table.complained()}")

    def _progress(self) -> int:
        """What grows as long as jobs go on: notes, and what was recorded."""
        return self.note_count + sum(file.stat().st_size for file in self.project.study_folder.glob("events/*"))

    def _sleep_while_at_work(self, seconds: float) -> None:
        """Sleep, but no longer than there are processes."""
        end = time.monotonic() + seconds
        self._sleep(_SCAN_S)
        while time.monotonic() < end and find_processes(self.project.folder):
            self._sleep(_SCAN_S)

    def _states(self, host: Host) -> dict[str, int]:
        """The counts of states as the command says; empty if it could not say."""
        command = self._finish(self._start(host, *self._arguments("status")))
        if command.code:
            self._move_out(command.complained())
            return {}
        states: dict[str, int] = json.loads(command.printed())["states"]
        return states

    def _move_out(self, complaint: str) -> None:
        """Do what a command has asked for: move a damaged file out of its folder."""
        if "move it out of the folder" in complaint:
            for file in self.project.study_folder.glob("plans/*.jsonl"):
                if file.name in complaint:
                    file.rename(self.project.folder / file.name)
                    self.must_launch = True

    def _wait_for_the_last(self) -> None:
        """Workers end a moment after their last job; what is left after a while are orphans."""
        end = time.monotonic() + _END_S
        while self.running or find_processes(self.project.folder):
            if time.monotonic() > end:
                self.findings.orphans = find_processes(self.project.folder)
                break
            self._sleep(_SCAN_S)
