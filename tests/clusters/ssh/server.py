"""A real sshd on loopback: its own host key, port and list of who may log in, in a folder, ended by its number.

Who logs in finds another home than the tests', and nothing of their environment. An `ssh` in front of the real one
reads a configuration of its own in place of the user's.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clusters.slurm.processes import processes
from clusters.ssh.packages import find_sshd
from command_server import forked_command

_SERVER_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
SetEnv {environment}
"""
_CLIENT_CONFIG = """
Host cluster
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
"""


@dataclass(frozen=True)
class Server:
    """The other side: its ``home``, and the folder ``bin`` with an `ssh` that knows it as ``cluster``."""

    folder: Path
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def bin(self) -> Path:
        """What has to come first on the path."""
        return self.folder / "bin"

    def break_connections(self) -> int:
        """Kill every process of sshd that serves somebody; return how many there were."""
        serving = [pid for pid in _descendants(self.process.pid) if _process_name(pid).startswith("sshd")]
        for pid in serving:
            os.kill(pid, signal.SIGKILL)
        return len(serving)


def _process_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _descendants(pid: int) -> list[int]:
    """The processes that descend from one."""
    parents = {other: _parent(other) for other in processes()}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _make_key(file: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file.with_suffix(".pub").read_text()


def _write_configuration(folder: Path, port: int, environment: Mapping[str, str]) -> None:
    names = {"folder": folder, "port": port, "user": pwd.getpwuid(os.getuid()).pw_name}
    (folder / "authorized_keys").write_text(_make_key(folder / "key"))
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {_make_key(folder / 'host_key')}")
    environment_text = " ".join(f'"{name}={value}"' for name, value in environment.items())
    (folder / "sshd_config").write_text(_SERVER_CONFIG.format(**names, environment=environment_text))
    (folder / "config").write_text(_CLIENT_CONFIG.format(**names))
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)


@contextmanager
def running_server(folder: Path, **environment: str) -> Iterator[Server]:
    """Run sshd; who logs in has ``environment`` beside a home and a temporary folder of their own."""
    home = folder / "home"
    (home / "tmp").mkdir(parents=True)
    path = f"{forked_command().parent}:{Path(sys.executable).parent}:{os.defpath}"
    # A login shell sets the path anew, for root as well.
    (home / ".bash_profile").write_text(f"export PATH={path}:$PATH\necho a word of the profile\n")
    (home / ".bashrc").write_text("echo a word of every shell\n")
    port = _free_port()
    _write_configuration(folder, port, {"HOME": str(home), "TMPDIR": str(home / "tmp"), **environment})
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = subprocess.Popen(
        [str(find_sshd()), "-D", "-e", "-f", folder / "sshd_config"],
        stdin=subprocess.DEVNULL,
        stderr=(folder / "sshd.log").open("wb"),
    )
    server = Server(folder, home, process)
    try:
        deadline = time.monotonic() + 120
        while not _is_listening(port):
            assert process.poll() is None, (folder / "sshd.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield server
    finally:
        server.break_connections()
        process.terminate()
        process.wait()
