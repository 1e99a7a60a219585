"""A fake LSF on this machine, for tests and for playing.

Its commands, ``bsub bjobs bkill brequeue bhist bpeek bstop bresume bmod bqueues bhosts lsid lshosts bparams``, lie in a
folder that comes first on ``PATH``. Jobs really run, as processes of this machine; hosts are claims. It speaks the
language of LSF 10.1 or, in the dialect ``classic``, of an older or compatible server, and misbehaves as told: see
`clusters.lsf.oddities`. Several can stand side by side, each in a folder of its own.

    python tests/clusters/lsf/cluster.py up|down|status [--folder DIR] [--dialect classic]
"""

from __future__ import annotations

import argparse
import marshal
import os
import shlex
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a program
    sys.path.insert(0, str(Path(__file__).parents[2]))

from clusters.lsf.jobs import FINISHED
from clusters.lsf.oddities import Oddities
from clusters.lsf.settings import Settings

HERE = Path(__file__).parent
DEFAULT_FOLDER = HERE.parents[2] / "build" / "lsf"
JOB_COMMANDS = ("bsub", "bjobs", "bkill", "brequeue", "bhist", "bpeek", "bstop", "bresume", "bmod")
COMMANDS = (*JOB_COMMANDS, "bqueues", "bhosts", "lsid", "lshosts", "bparams")
OURS = ("LSF_", "LSB_", "LS_", "BSUB_", "FAKE_LSF_")
EXECUTABLE = """\
#!{python} -IS
import sys
sys.path.insert(0, {here!r})
import client
client.main({address!r})
"""


class LsfError(Exception):
    """The fake does not do what it should."""


@dataclass(frozen=True)
class Lsf:
    """The cluster of ``folder``, whether it is up or not."""

    folder: Path

    # Up and down

    def start(self, settings: Settings | None = None, owner: int | None = None) -> None:
        """Bring it up; it ends with the process ``owner``. Raises `LsfError` when it does not come up."""
        if self.is_up:
            return self.change(settings or self.settings)
        self._write(settings or Settings())
        with (self.folder / "log").open("a") as log:
            command = [sys.executable, "-IS", str(HERE / "daemon.py"), str(self.folder)]
            command += ["--with", str(owner)] if owner else []
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )
        end = time.monotonic() + 120
        while not self.is_up:
            if server.poll() is not None or time.monotonic() > end:
                raise LsfError(f"the fake LSF does not start: {(self.folder / 'log').read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill its jobs and end it."""
        if self.is_up:
            self._tell("@stop")
            end = time.monotonic() + 120
            while self.is_up and time.monotonic() < end:
                time.sleep(0.01)

    @property
    def is_up(self) -> bool:
        """Whether somebody answers."""
        try:
            return bool(self._tell("@ready"))
        except (ConnectionError, FileNotFoundError):
            return False

    @property
    def settings(self) -> Settings:
        """As they are now."""
        return Settings.read(self.folder / "settings.json")

    def change(self, settings: Settings) -> None:
        """Go on with other settings."""
        Oddities(settings.oddities)
        self._configure(settings)
        self._tell("@ready")

    def configure(self, **values: Any) -> None:
        """Change some settings."""
        self.change(replace(self.settings, **values))

    def oddities(self, **values: Any) -> None:
        """Misbehave so, and only so, from now on."""
        self.configure(oddities=values)

    @contextmanager
    def odd(self, **values: Any) -> Iterator[None]:
        """Misbehave so as well, for a while."""
        before = self.settings.oddities
        self.oddities(**{**before, **values})
        try:
            yield
        finally:
            self.oddities(**before)

    # Commands

    @property
    def variables(self) -> dict[str, str]:
        """What has to be in the environment of whoever uses it, besides ``PATH``."""
        return {"LSF_ENVDIR": str(self.folder / "conf"), "LSF_BINDIR": str(self.bin)}

    @property
    def bin(self) -> Path:
        """The folder of its commands."""
        return self.folder / "bin"

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with this cluster as the one that LSF's commands talk to."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**own, **self.variables, "PATH": f"{self.bin}:{own.get('PATH', os.defpath)}"}

    def run(self, *command: str | Path, **how: Any) -> str:
        """What one of LSF's commands prints; `LsfError` when it fails."""
        ended = self.ask(*command, **how)
        if ended.returncode:
            raise LsfError(f"{shlex.join(map(str, command))}: {ended.stderr.strip() or ended.stdout.strip()}")
        return ended.stdout

    def ask(
        self, *command: str | Path, script: str = "", timeout: float = 60, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of LSF's commands, which may fail; ``script`` is its standard input."""
        return subprocess.run(
            command,
            env={**self.environment, **variables},
            input=script,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=cwd or self.folder,
        )

    # Jobs

    def submit(self, script: str, *options: str | Path, **variables: str) -> str:
        """The id of a script that bsub is given on standard input."""
        printed = self.run("bsub", *options, script=script, **variables)
        return printed.partition("> is submitted to ")[0].rpartition("<")[2]

    def job_states(self, job: str = "") -> dict[str, str]:
        """The state of each element of a job, or of all jobs: ``{"7[1]": "RUN", "8": "PEND"}``.

        As they are: what bjobs has forgotten or tells wrongly is not amiss here.
        """
        return dict(self._tell("@states", job))

    def wait_for(self, job: str, states: Collection[str] = FINISHED, seconds: float = 240) -> dict[str, str]:
        """Wait until each element of a job is in one of these states; `LsfError` when it is not in time."""
        end = time.monotonic() + seconds
        while not (now := self.job_states(job)) or not set(now.values()) <= set(states):
            if time.monotonic() > end:
                raise LsfError(f"job {job} after {seconds:.0f} s: {now}\n{self.ask('bhist', '-l', job).stdout}")
            time.sleep(0.02)
        return now

    def ids(self) -> list[int]:
        """Of all jobs and elements that ever were, an id once for each."""
        return list(self._tell("@known"))

    def kill(self, *jobs: str) -> None:
        """bkill, whatever it answers."""
        self.ask("bkill", *jobs)

    def show(self, job: str, state: str = "") -> None:
        """Let bjobs tell this state (``PROV``, ``WAIT``, …), or again what is so."""
        self._tell("@show", job, state)

    # Hosts

    def host_down(self, host: str) -> None:
        """Its daemon is gone: its jobs run on, and LSF does not see them."""
        self._tell("@down", host)

    def node_down(self, host: str) -> None:
        """It has crashed: its daemon and its jobs' processes are gone."""
        self._tell("@crash", host)

    def node_up(self, host: str) -> None:
        """It is back, whatever took it away."""
        self._tell("@up", host)

    # What stands behind it

    def _write(self, settings: Settings) -> None:
        Oddities(settings.oddities)
        for name in ("bin", "conf", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        address = self.folder / "address"
        if not address.exists():  # a path may be too long for a socket
            address.write_text(f"fake-lsf-{uuid.uuid4().hex}")
        self._configure(settings)
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.variables.items())
        (self.folder / "env.sh").write_text(f'{exports}export PATH={shlex.quote(str(self.bin))}:"$PATH"\n')
        text = EXECUTABLE.format(python=sys.executable, here=str(HERE), address=address.read_text())
        for name in COMMANDS:
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    def _configure(self, settings: Settings) -> None:
        settings.write(self.folder / "settings.json")
        unit = f"LSF_UNIT_FOR_LIMITS={settings.unit_for_limits}\n" if settings.unit_for_limits else ""
        (self.folder / "conf" / "lsf.conf").write_text(f"LSF_BINDIR={self.bin}\n{unit}")

    def _tell(self, command: str, *arguments: str) -> Any:
        values = {"command": command, "arguments": list(arguments)}
        data = marshal.dumps(values)
        with socket.socket(socket.AF_UNIX) as line:
            line.connect("\0" + (self.folder / "address").read_text())
            line.sendall(len(data).to_bytes(8, "big") + data)
            with line.makefile("rb") as file:
                size = file.read(8)
                if len(size) < 8:
                    raise ConnectionError(f"{command}: no answer; see {self.folder / 'log'}")
                return marshal.loads(file.read(int.from_bytes(size, "big")))[1]


@contextmanager
def running(folder: Path, settings: Settings | None = None) -> Iterator[Lsf]:
    """A cluster that is up, and ends at the latest with this process. `LsfError` when it had faults of its own."""
    lsf = Lsf(folder)
    lsf.start(settings, owner=os.getpid())
    try:
        yield lsf
    finally:
        lsf.stop()
    if faults := (folder / "log").read_text():
        raise LsfError(f"the fake LSF has failed:\n{faults}")


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake LSF on this machine.")
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where it lives (%(default)s)")
    parser.add_argument("--dialect", choices=["lsf10", "classic"], default="lsf10")
    parser.add_argument("--time-scale", type=float, default=1.0, help="0.1: an hour lasts six minutes")
    args = parser.parse_args()
    lsf = Lsf(args.folder.resolve())
    if args.action == "up":
        lsf.folder.mkdir(parents=True, exist_ok=True)
        lsf.start(Settings(dialect=args.dialect, time_scale=args.time_scale))
        print(
            f"It is up. `. {lsf.folder}/env.sh` and bsub, bjobs, … talk to it; {lsf.folder}/settings.json changes it."
        )
    elif args.action == "down":
        lsf.stop()
    else:
        print(f"{lsf.folder}: {'is up' if lsf.is_up else 'is down'}")


if __name__ == "__main__":
    main()
