"""The system's ssh: keys, agent and ``~/.ssh/config`` are the user's; no password is ever asked for.

Commands share one connection for a minute where the user has not said otherwise, since a connection may take a second
and another command on it takes none.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import IO

from seedfold.jobs.errors import SeedfoldError, UnreachableError, UsageError
from seedfold.orchestrator.login.remote_command import BEGIN
from seedfold.orchestrator.login.wire import BrokenWireError, Wire
from seedfold.orchestrator.settings.login import Login

_GONE = 255
_PIECE = 1 << 16
_SAYS = "seedfold: "
_LONGEST_SOCKET = 100
_SOCKET_NAME = 40 + 18
_STAY_S = 60
# What ssh says by itself, and what is asked for in its place.
_OURS = {
    "connecttimeout": ("none", "ConnectTimeout=20"),
    "serveraliveinterval": ("0", "ServerAliveInterval=15"),
    "loglevel": ("INFO", "LogLevel=ERROR"),
}
_INTERRUPT = b"\x03"
_PATIENCE = 3


class Connection:
    """Commands on one host."""

    def __init__(self, login: Login) -> None:
        self.login = login

    @cached_property
    def _options(self) -> list[str]:
        """What is added to the user's own configuration, which `ssh -G` tells."""
        told = _run(["ssh", "-G", "--", self.login.host])
        if told.returncode:
            raise UnreachableError(f"{self.login.host}: {_last_line(told.stderr)}")
        configured = dict(line.partition(" ")[::2] for line in told.stdout.splitlines())
        chosen = [own for key, (usual, own) in _OURS.items() if configured.get(key, usual) == usual]
        socket = _socket_folder() if configured.get("controlpath", "none") == "none" else None
        if socket is not None:
            chosen += ["ControlMaster=auto", f"ControlPath={socket}/%C", f"ControlPersist={_STAY_S}"]
        return [word for option in ("BatchMode=yes", *chosen) for word in ("-o", option)]

    def _words(self, line: str, tty: bool = False) -> list[str]:
        return ["ssh", "-t" if tty else "-T", *self._options, "--", self.login.host, line]

    def reach(self) -> None:
        """Raise UnreachableError, with what ssh says, if there is no way to the host."""
        asked = ["ssh", *self._options, "-O", "check", "--", self.login.host]
        if _run(asked).returncode == 0:
            return
        ended = _run(self._words("exit 0"))
        if ended.returncode == _GONE:
            raise UnreachableError(f"{self.login.host}: {_last_line(ended.stderr)}")

    def ask(self, line: str) -> bytes:
        """Run a line of shell and return what it prints. Raises UnreachableError if that fails."""
        ended = subprocess.run(self._words(line), capture_output=True, stdin=subprocess.DEVNULL, check=False)
        if ended.returncode:
            raise UnreachableError(f"{self.login.host}: {_last_line(ended.stderr.decode(errors='replace'))}")
        return ended.stdout.partition(BEGIN)[2]

    @contextmanager
    def talk(self, line: str) -> Iterator[Wire]:
        """Run a line of shell that starts a Seedfold to talk with, and end it with the block.

        Where it goes away in the middle of it, raises UnreachableError or UsageError with what it, or ssh, said last.
        """
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                self._words(line), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, process_group=0
            )
            assert process.stdout is not None
            assert process.stdin is not None
            try:
                yield Wire(process.stdout, process.stdin)
            except BrokenWireError:
                code = process.wait()
                said.seek(0)
                raise self._end(code, said.read().decode(errors="replace")) from None
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
                with suppress(BrokenPipeError):
                    process.stdin.close()

    def _end(self, code: int, said: str) -> SeedfoldError:
        own = [line.removeprefix(_SAYS) for line in said.splitlines() if line.startswith(_SAYS)]
        if code == _GONE or not own:
            return UnreachableError(f"{self.login.host}: {_last_line(said)}")
        return UsageError(own[-1]) if code == UsageError.exit_code else UnreachableError(own[-1])

    def sit_at(self, line: str) -> int:
        """Run a line of shell on this terminal; return its exit code. Raises UnreachableError if ssh ends before it."""
        with _on_signals(lambda: None):
            # The keys go to the other side, Ctrl-C among them.
            return self._code(subprocess.Popen(self._words(line, tty=True)).wait())

    def listen(self, line: str, hear: Callable[[bytes], object]) -> int:
        """Run a line of shell without a terminal, and hear what it prints as it comes; otherwise as `sit_at`.

        Ctrl-C is passed on; where this process ends, the other side hears it by the end of its standard input.
        """
        process = subprocess.Popen(
            self._words(line), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, process_group=0
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process, _on_signals(_Pressed(process, process.stdin)):
            try:
                for data in _behind_begin(process.stdout):
                    hear(data)
            except BrokenPipeError:
                process.kill()
                raise
            return self._code(process.wait())

    def _code(self, code: int) -> int:
        if code == _GONE or code < 0:
            raise UnreachableError(
                f"{self.login.host}: the connection ended before the command did; jobs go on there, and the same"
                " command again goes on from there"
            )
        return code


class _Pressed:
    """Ctrl-C without a terminal: told to the other side, which answers as to any; one too many ends ssh."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self._process, self._pipe, self._times = process, pipe, 0

    def __call__(self) -> None:
        self._times += 1
        if self._times > _PATIENCE:
            self._process.kill()
            return
        try:
            self._pipe.write(_INTERRUPT)
            self._pipe.flush()
        except BrokenPipeError:
            self._process.kill()


@contextmanager
def _on_signals(pressed: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C call ``pressed`` in place of ending this process."""

    def hear(number: int, frame: FrameType | None) -> None:
        pressed()

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _behind_begin(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what comes behind the mark, as it comes."""
    before: bytes | None = b""
    while data := stream.read(_PIECE):
        if before is None:
            yield data
            continue
        before += data
        _, found, rest = before.partition(BEGIN)
        if found:
            before = None
            yield rest


def on_terminal() -> bool:
    """Whether a person sits here: all three standard streams are a terminal's."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError:
        raise UsageError(f"{words[0]}: not installed here; cluster.login needs it") from None


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "ssh failed without a word"


def _socket_folder() -> Path | None:
    """A folder of this user's alone whose name is short enough for sockets; None if there is none."""
    folder = Path(tempfile.gettempdir(), f"seedfold-{os.getuid()}", "ssh")
    if len(os.fsencode(folder)) + _SOCKET_NAME > _LONGEST_SOCKET:
        return None
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.stat()
    return folder if status.st_uid == os.getuid() and not status.st_mode & 0o077 else None
