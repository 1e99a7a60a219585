"""Connections with the system's ssh, with the user's keys, agent and ``~/.ssh/config``; it never asks for a password.

Commands share one connection for a minute, unless the user has configured ssh otherwise, because a new connection may
take a second and another command on an open one takes almost no time.
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
from seedfold.orchestrator.login.remote_command import OUTPUT_BEGINS
from seedfold.orchestrator.login.stream_protocol import BrokenWireError, Wire
from seedfold.orchestrator.settings.login import LoginHost
from seedfold.orchestrator.settings.private_folder import private_folder

_SSH_FAILED = 255
_CHUNK_BYTES = 1 << 16
_MESSAGE_PREFIX = "seedfold: "
_LONGEST_SOCKET = 100
_SOCKET_NAME_LENGTH = 40 + 18
_CONTROL_PERSIST_S = 60
# ssh's own settings, and the values that are used instead.
_REPLACED_DEFAULTS = {
    "connecttimeout": ("none", "ConnectTimeout=20"),
    "serveraliveinterval": ("0", "ServerAliveInterval=15"),
    "loglevel": ("INFO", "LogLevel=ERROR"),
}
_INTERRUPT = b"\x03"
_MAX_INTERRUPTS = 3


class Connection:
    """Commands on one host."""

    def __init__(self, login: LoginHost) -> None:
        self.login = login

    @cached_property
    def _options(self) -> list[str]:
        """Options that are added to the user's own configuration, which `ssh -G` prints."""
        process = _run(["ssh", "-G", "--", self.login.host])
        if process.returncode:
            raise UnreachableError(f"{self.login.host}: {_last_line(process.stderr)}")
        configured = dict(line.partition(" ")[::2] for line in process.stdout.splitlines())
        options = [
            replacement
            for key, (default, replacement) in _REPLACED_DEFAULTS.items()
            if configured.get(key, default) == default
        ]
        socket = _find_socket_folder() if configured.get("controlpath", "none") == "none" else None
        if socket is not None:
            options += ["ControlMaster=auto", f"ControlPath={socket}/%C", f"ControlPersist={_CONTROL_PERSIST_S}"]
        return [word for option in ("BatchMode=yes", *options) for word in ("-o", option)]

    def _ssh_command(self, command_line: str, tty: bool = False) -> list[str]:
        return ["ssh", "-t" if tty else "-T", *self._options, "--", self.login.host, command_line]

    def check_reachable(self) -> None:
        """Raise UnreachableError, with the message of ssh, if the host cannot be reached."""
        check_command = ["ssh", *self._options, "-O", "check", "--", self.login.host]
        if _run(check_command).returncode == 0:
            return
        process = _run(self._ssh_command("exit 0"))
        if process.returncode == _SSH_FAILED:
            raise UnreachableError(f"{self.login.host}: {_last_line(process.stderr)}")

    def output_of(self, command_line: str) -> bytes:
        """Run a line of shell and return what it prints. Raises UnreachableError if that fails."""
        process = subprocess.run(
            self._ssh_command(command_line), capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
        if process.returncode:
            raise UnreachableError(f"{self.login.host}: {_last_line(process.stderr.decode(errors='replace'))}")
        return process.stdout.partition(OUTPUT_BEGINS)[2]

    @contextmanager
    def open_wire(self, command_line: str) -> Iterator[Wire]:
        """Run a line of shell that starts Seedfold on the host and exchange messages with it.

        It ends with the `with` block.

        If it ends too early, raises UnreachableError or UsageError with its last message, or the last message of ssh.
        """
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                self._ssh_command(command_line),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                process_group=0,
            )
            assert process.stdout is not None
            assert process.stdin is not None
            try:
                yield Wire(process.stdout, process.stdin)
            except BrokenWireError:
                code = process.wait()
                errors.seek(0)
                raise self._error_from_output(code, errors.read().decode(errors="replace")) from None
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
                with suppress(BrokenPipeError):
                    process.stdin.close()

    def _error_from_output(self, exit_code: int, errors: str) -> SeedfoldError:
        seedfold_errors = [
            line.removeprefix(_MESSAGE_PREFIX) for line in errors.splitlines() if line.startswith(_MESSAGE_PREFIX)
        ]
        if exit_code == _SSH_FAILED or not seedfold_errors:
            return UnreachableError(f"{self.login.host}: {_last_line(errors)}")
        return (
            UsageError(seedfold_errors[-1])
            if exit_code == UsageError.exit_code
            else UnreachableError(seedfold_errors[-1])
        )

    def run_on_terminal(self, command_line: str) -> int:
        """Run a line of shell on this terminal; return its exit code. Raises UnreachableError if ssh ends too early."""
        with _catch_interrupts(lambda: None):
            # All keys, also Ctrl-C, go to the other machine.
            return self._check_exit_code(subprocess.Popen(self._ssh_command(command_line, tty=True)).wait())

    def run_streaming(self, command_line: str, on_output: Callable[[bytes], object]) -> int:
        """Run a line of shell without a terminal, and pass on its output as it comes; otherwise as `run_on_terminal`.

        Ctrl-C is passed on. If this process ends, the other side sees the end of its standard input.
        """
        process = subprocess.Popen(
            self._ssh_command(command_line), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, process_group=0
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process, _catch_interrupts(_InterruptForwarder(process, process.stdin)):
            try:
                for data in _output_after_begin(process.stdout):
                    on_output(data)
            except BrokenPipeError:
                process.kill()
                raise
            return self._check_exit_code(process.wait())

    def _check_exit_code(self, exit_code: int) -> int:
        if exit_code == _SSH_FAILED or exit_code < 0:
            raise UnreachableError(
                f"{self.login.host}: the connection ended before the command; jobs continue on"
                " the host, and the same command continues from there"
            )
        return exit_code


class _InterruptForwarder:
    """Ctrl-C without a terminal: it is passed to the other side, which handles it as usual.

    Several in a row end ssh.
    """

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self._process, self._pipe, self._count = process, pipe, 0

    def __call__(self) -> None:
        self._count += 1
        if self._count > _MAX_INTERRUPTS:
            self._process.kill()
            return
        try:
            self._pipe.write(_INTERRUPT)
            self._pipe.flush()
        except BrokenPipeError:
            self._process.kill()


@contextmanager
def _catch_interrupts(on_interrupt: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C call ``on_interrupt`` instead of ending this process."""

    def handle_signal(number: int, frame: FrameType | None) -> None:
        on_interrupt()

    previous_handler = signal.signal(signal.SIGINT, handle_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous_handler)


def _output_after_begin(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the output after the mark, as it comes."""
    before: bytes | None = b""
    while data := stream.read(_CHUNK_BYTES):
        if before is None:
            yield data
            continue
        before += data
        _, found, rest = before.partition(OUTPUT_BEGINS)
        if found:
            before = None
            yield rest


def is_on_terminal() -> bool:
    """Whether all three standard streams are a terminal."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError:
        raise UsageError(f"{command[0]}: not installed here; cluster.login needs it") from None


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "ssh failed without a message"


def _find_socket_folder() -> Path | None:
    """A folder that only this user can open, with a path short enough for sockets; None if there is none."""
    try:
        folder = private_folder("ssh")
    except UsageError:
        return None
    return folder if len(os.fsencode(folder)) + _SOCKET_NAME_LENGTH <= _LONGEST_SOCKET else None
