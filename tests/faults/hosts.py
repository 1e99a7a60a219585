"""Hosts on which commands run: this machine as it is, or namespaces that are like another machine; and the commands.

A command runs in a fork of this process, which has imported everything already, and does what `seedfold` does there.
"""

from __future__ import annotations

import faulthandler
import json
import os
import secrets
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from faults.forked import become_command
from faults.namespaces import Namespaces, become_host, bind, leave_namespaces, let_everybody_run_python
from faults.study import SHARED_GROUP, SITECUSTOMIZE, STUDY, Project

_MOUNT_WAIT_S = 30.0


def import_commands() -> None:
    """Import what commands import, so that their forks need not."""
    import duckdb  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import seedfold.orchestrator.cli.cancel
    import seedfold.orchestrator.cli.launch
    import seedfold.orchestrator.cli.results
    import seedfold.orchestrator.cli.resume
    import seedfold.orchestrator.cli.status  # noqa: F401


@dataclass
class Command:
    """One command that was started; ``code`` is its exit code when it has ended, negative for a signal."""

    args: tuple[str, ...]
    host: str
    pid: int
    output: Path
    started: float
    code: int | None = None
    ended: float | None = None

    def poll(self) -> int | None:
        """The exit code; None as long as it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code, self.ended = os.waitstatus_to_exitcode(status), time.monotonic()
        return self.code

    def kill(self) -> None:
        """Kill it, and have it say first where it is."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGUSR1)
            time.sleep(0.3)
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.code, self.ended = os.waitstatus_to_exitcode(status), time.monotonic()

    def printed(self) -> str:
        """What it printed on standard output."""
        return self.output.with_suffix(".out").read_text(errors="replace")

    def complained(self) -> str:
        """What it printed on standard error."""
        file = self.output.with_suffix(".err")
        return file.read_text(errors="replace") if file.exists() else ""  # It was killed before it was made.


@dataclass
class Host:
    """A host with a name, a view of the root and a clock; ``user`` is an id if it is not ours."""

    key: str
    project: Project
    name: str | None = None
    keep_s: float | None = None
    clock_shift_s: float = 0.0
    step_s: float = 0.05
    user: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    namespaces: Namespaces | None = None
    mount_process: int | None = None

    @property
    def folder(self) -> Path:
        """What belongs to this host alone."""
        return self.project.folder / self.key

    @property
    def weather_file(self) -> Path:
        """What goes wrong with its mount; see `faults.cached_mount.Weather`."""
        return self.folder / "weather.json"

    @property
    def environment(self) -> dict[str, str]:
        """What its processes have in their environment, beside what this process has."""
        return {**self.project.environment(self.key, self.clock_shift_s, self.step_s), **self.variables}

    def start(self) -> None:
        """Make its folders, and its namespaces if it has a name of its own."""
        for name in ("home", "tmp", "commands"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            if self.user is not None:
                os.chown(self.folder / name, self.user, SHARED_GROUP)
        if self.has_namespaces:
            (self.folder / "machine-id").write_text(f"{secrets.token_hex(16)}\n")
            self.boot()

    @property
    def has_namespaces(self) -> bool:
        """Whether it differs from this machine."""
        return self.name is not None or self.user is not None

    def boot(self) -> None:
        """Start the host, or start it again: it has a new boot id then, and an empty cache."""
        self.shut_down()
        (self.folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            _run_as_host(self, told)
        os.close(told)
        answer = os.read(ready, 1000)
        os.close(ready)
        if answer != b"ready":
            os.waitpid(pid, 0)
            raise OSError(f"host {self.key}: {answer.decode()}")
        self.mount_process = pid
        if self.keep_s is not None:
            self._wait_for_mount(pid)
        self.namespaces = Namespaces.of_process(pid)

    def _wait_for_mount(self, pid: int) -> None:
        end = time.monotonic() + _MOUNT_WAIT_S
        while f" {self.project.root} " not in Path(f"/proc/{pid}/mountinfo").read_text():
            if time.monotonic() > end:
                raise OSError(f"host {self.key}: the mount did not come up")
            time.sleep(0.01)

    def shut_down(self) -> None:
        """Let go of the namespaces. Processes that are still in them lose the root, and have to be killed before."""
        if self.namespaces is not None:
            self.namespaces.close()
            self.namespaces = None
        if self.mount_process is not None:
            os.kill(self.mount_process, signal.SIGKILL)
            os.waitpid(self.mount_process, 0)
            self.mount_process = None

    def run(self, args: Sequence[str]) -> Command:
        """Start a command here, and do not wait for it."""
        output = self.folder / "commands" / f"{time.monotonic_ns()}-{args[0]}"
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _run_command(self, tuple(args), output)
        return Command(tuple(args), self.key, pid, output, time.monotonic())


def _run_as_host(host: Host, told: int) -> None:
    """Be the process in which a host's namespaces are made and its mount is served; it never returns."""
    try:
        leave_namespaces()
        if host.user is not None:
            let_everybody_run_python(host.folder / "way")
        if host.name is not None:
            become_host(host.name, host.folder)
            if host.keep_s is None:
                bind(host.project.server, host.project.root)
        os.write(told, b"ready")
        os.close(told)
        if host.keep_s is None:
            while True:
                signal.pause()
        from faults.cached_mount import serve

        log = os.open(host.folder / "mount.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        serve(host.project.server, host.project.root, host.weather_file, host.keep_s, seed=len(host.key))
    except BaseException:
        with suppress(OSError):
            os.write(told, traceback.format_exc()[-900:].encode())
    finally:
        os._exit(1)


def _run_command(host: Host, args: tuple[str, ...], output: Path) -> None:
    """Be the process of a command; it never returns."""

    def prepare() -> None:
        faulthandler.register(signal.SIGUSR1)
        if host.namespaces is not None:
            host.namespaces.enter()
        if host.user is not None:
            os.setgroups([SHARED_GROUP])
            os.setgid(SHARED_GROUP)
            os.setuid(host.user)
        os.environ.update(host.environment)
        os.umask(0o022)
        os.chdir(host.project.work_folder)
        exec(compile(SITECUSTOMIZE, "sitecustomize", "exec"), {"__name__": "sitecustomize"})
        _forget_what_was_found_out()

    become_command(output.with_suffix(".out"), output.with_suffix(".err"), prepare, lambda: _call(args))


def _call(args: tuple[str, ...]) -> None:
    from seedfold.orchestrator.cli.group import cli

    if args == ("states",):
        print(json.dumps(_read_states()))
    else:
        cli(list(args))


def _read_states() -> dict[str, str]:
    """What `status` finds out of each job, of which it prints only the counts."""
    from seedfold.orchestrator.ledger.layout import find_root
    from seedfold.orchestrator.settings.selection import Selection
    from seedfold.orchestrator.state.overview import Overview

    overview = Overview(find_root(), STUDY, result_check="recent")
    return {view.job.id: view.state for view in overview.job_views(Selection.parse((), (), None))}


def _forget_what_was_found_out() -> None:
    """Modules of Seedfold remember, for example, the boot id of the host on which they were asked."""
    for name, module in list(sys.modules.items()):
        if name.startswith("seedfold."):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
