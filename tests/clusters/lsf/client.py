"""All of LSF's commands: they hand what they were called with to the fake's server, and print what it answers.

They are started by the hundred, so this imports next to nothing.
"""

import marshal  # the quickest to import, and both ends are the same interpreter
import os
import pwd
import socket
import sys
import time

TYPE_CHECKING = False  # typing itself is slow to import
if TYPE_CHECKING:
    import io
    from typing import Any, TextIO

FOREVER = 1 << 30


def main(address: str) -> None:
    """Be the command of ``sys.argv[0]``."""
    command = os.path.basename(sys.argv[0])  # noqa: PTH119 - pathlib is slow to import
    nonce = f"{os.getpid()}-{time.monotonic_ns()}"
    tries = int(os.environ.get("LSB_NTRIES") or FOREVER)
    try:
        for attempt in range(1, tries + 1):
            code = ask(address, command, nonce, attempt)
            if code is not None:
                break
            say(sys.stderr, "batch system daemon not responding ... still trying\n")
            if attempt < tries:
                time.sleep(1.0)
        else:
            code = give_up(command)
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    os._exit(code)


def give_up(command: str) -> int:
    text = f"{command}: Failed in an LSF library call: Master LIM is down; try later"
    say(sys.stderr, text + (". Job not submitted.\n" if command == "bsub" else "\n"))
    return 255


def ask(address: str, command: str, nonce: str, attempt: int) -> "int | None":
    """The exit code, once the answer has been printed; None when there is nobody who answers."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect("\0" + address)
            send(
                line,
                {
                    "command": command,
                    "arguments": sys.argv[1:],
                    "environment": dict(os.environ),
                    "cwd": cwd(),
                    "user": user(),
                    "nonce": nonce,
                    "attempt": attempt,
                },
            )
            return listen(line)
        except (ConnectionError, EOFError):
            return None


def listen(line: socket.socket) -> "int | None":
    file = line.makefile("rb")
    while True:
        word, value = receive(file)
        if word == "out":
            say(sys.stdout, value)
        elif word == "err":
            say(sys.stderr, value)
        elif word == "stdin":
            send(line, standard_input())
        elif word == "away":
            return None
        elif word == "exit":
            return value


def standard_input(read: "list[str]" = []) -> str:  # noqa: B006 - it can be read once, and is asked for at each try
    if not read:
        read.append("" if sys.stdin.isatty() else sys.stdin.read())
    return read[0]


def cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return "/"


def user() -> str:
    return os.environ.get("FAKE_LSF_USER") or pwd.getpwuid(os.getuid()).pw_name


def say(stream: "TextIO", text: str) -> None:
    stream.write(text)
    stream.flush()


def send(line: socket.socket, value: "Any") -> None:
    data = marshal.dumps(value)
    line.sendall(len(data).to_bytes(8, "big") + data)


def receive(file: "io.BufferedReader") -> "tuple[str, Any]":
    size = file.read(8)
    if len(size) < 8:
        raise EOFError
    return marshal.loads(file.read(int.from_bytes(size, "big")))
