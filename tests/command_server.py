"""The command `seedfold` in processes forked from one that has imported it: most of the time of a command is imports.

`forked_command` is a program that takes the place of `seedfold` in tests that look at what commands do together. A
command gets the arguments, the folder, the environment, the files and the exit code of the program. It is not the
child of who calls it, and hears no signals: tests that kill commands start the real one.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from shutil import rmtree

_COMMANDS = ("launch", "plan", "results", "report", "resume", "status")
_IMPORTED = (
    *(f"seedfold.orchestrator.cli.{name}" for name in ("group", *_COMMANDS)),
    *("hydra._internal.core_plugins", "pandas", "pyarrow.compute", "pyarrow.parquet", "scipy.special"),
)
_CLIENT = """#!{python} -IS
import json, os, socket, sys

client = socket.socket(socket.AF_UNIX)
client.connect({address!r})
request = json.dumps([sys.argv, os.getcwd(), dict(os.environ)], ensure_ascii=True).encode()
socket.send_fds(client, [len(request).to_bytes(8, "big")], [0, 1, 2])
client.sendall(request)
code = client.recv(1)
os._exit(code[0] if code else 255)
"""


@cache
def forked_command() -> Path:
    """Start the server of this process; return the program, called ``seedfold``, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="seedfold-command-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "server"))
    listener.listen(64)
    server = subprocess.Popen(
        [sys.executable, __file__, str(listener.fileno())], pass_fds=[listener.fileno()], start_new_session=True
    )
    atexit.register(server.kill)
    listener.close()
    program = folder / "seedfold"
    program.write_text(_CLIENT.format(python=sys.executable, address=str(folder / "server")))
    program.chmod(0o755)
    return program


def serve(listener: socket.socket) -> None:
    """Fork a process for each command, for ever; return in that of a command."""
    while True:
        client, _ = listener.accept()
        if os.fork() == 0:
            break
        client.close()
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = os.fork()
    if command:
        client.sendall(bytes([os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]) & 0xFF]))
        os._exit(0)
    _become(client)


def _become(client: socket.socket) -> None:
    """Take over what the program was called with."""
    head, files, _, _ = socket.recv_fds(client, 8, 3)
    request = b""
    while len(request) < int.from_bytes(head, "big"):
        request += client.recv(1 << 20)
    client.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.argv, folder, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = str(Path(sys.argv[0]).parent)


if __name__ == "__main__":
    for module in _IMPORTED:
        import_module(module)
    # Nobody waits for a process that waits for its command.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(import_module("seedfold.orchestrator.cli").main())
