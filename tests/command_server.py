"""The command `seedfold`, and Python, in processes forked from one that has imported everything.

Most of the time of a short command, and of a worker with few jobs, goes into imports. The programs `forked_command` and
`forked_python` take the places of ``seedfold`` and ``python`` in tests that look at what comes out. What they stand for
gets the arguments, the folder, the environment, the files and the signals of the program; it dies with the program,
which ends as it does. It is not the child of who calls it: a test that is about kills kills real ones.
`training_command` and `training_python` have imported PyTorch as well, which makes each of their forks slower. So do
the processes of pytest-xdist, which are forks as well. `worker_python` has imported less, and is the fastest.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import marshal
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from io import FileIO, TextIOWrapper
from itertools import takewhile
from multiprocessing import process
from pathlib import Path
from shutil import rmtree
from types import ModuleType
from typing import Literal, NoReturn, cast

from isolation import take_for_installed

Kind = Literal["work", "command", "training"]
"""What a server has imported: what workers and jobs need that do next to nothing, what commands need, PyTorch."""
_TO_WORK = (
    *("seedfold.orchestrator.worker.task", "seedfold.orchestrator.worker.template", "seedfold.trainers.programs.job"),
    *("pyarrow.compute", "pyarrow.parquet"),
)
_COMMANDS = ("launch", "plan", "results", "report", "resume", "status")
_TO_COMMAND = (
    "seedfold.trainers.programs.command",
    *(f"seedfold.orchestrator.cli.{name}" for name in ("group", *_COMMANDS)),
    *("pandas", "scipy.special"),
    # What Hydra looks for when it starts, and what sweeps need.
    *(f"hydra._internal.core_plugins.{name}" for name in ("basic_launcher", "basic_sweeper", "bash_completion")),
    *("hydra_plugins.hydra_optuna_sweeper.optuna_sweeper", "optuna", "sqlalchemy.dialects.sqlite"),
    *(f"seedfold.orchestrator.sweeps.{name}" for name in ("main_program", "request", "returns", "sweep")),
)
_TO_TRAIN = (
    *("torch._dynamo", "lightning_fabric.strategies.launchers.subprocess_script"),
    *("seedfold.trainers.stages.fit_masks", "seedfold.trainers.stages.lightning"),
)
_IMPORTED: Mapping[Kind, Sequence[str]] = {
    "work": _TO_WORK,
    "command": (*_TO_WORK, *_TO_COMMAND),
    "training": (*_TO_WORK, *_TO_COMMAND, *_TO_TRAIN),
}
"""The modules of each server. The fewer, the faster is a fork. Modules of stages say what else their jobs import."""
_STARTS_PYTHON = {
    *("seedfold.orchestrator.schedulers.local", "seedfold.trainers.programs.command"),
    "lightning_fabric.strategies.launchers.subprocess_script",
}
"""Modules whose Pythons are forked as well: workers of this machine, commands that are jobs, and Lightning's ranks."""
_TESTING = "tests"
"""The folder of the Python of processes that run tests."""
MAIN_PROCESS = "PYTEST_MAIN_PROCESS"
"""The variable that has the number of the process that runs the tests, or hands them out."""
_CLIENT = """#!{python} -IS
import _signal, _socket, marshal, posix, sys

client = _socket.socket(_socket.AF_UNIX)
client.connect({address!r})
numbers = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM, _signal.SIGUSR1, _signal.SIGUSR2)
ignored = [number for number in numbers if _signal.getsignal(number) == _signal.SIG_IGN]
for number in numbers:
    _signal.signal(number, lambda number, _: client.send(bytes([number])))
request = marshal.dumps((sys.argv, posix.getcwdb(), posix.environ, ignored))
files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
client.sendmsg([len(request).to_bytes(8, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
client.sendall(request)
code = int.from_bytes(client.recv(2) or b"\\0\\xff", "big", signed=True)
if code < 0:
    if -code != _signal.SIGKILL:
        _signal.signal(-code, _signal.SIG_DFL)
    posix.kill(posix.getpid(), -code)
posix._exit(code)
"""
"""It imports nothing that takes time, because tests start it thousands of times."""


def forked_command() -> Path:
    """Start the server of this run of tests; return the program, called ``seedfold``, in a folder of its own.

    The workers that it starts on this machine are forked as well.
    """
    return _programs("command") / "command" / "seedfold"


def training_command() -> Path:
    """Return the same of a server that has imported PyTorch."""
    return _programs("training") / "command" / "seedfold"


def forked_python() -> Path:
    """Start the server of this run of tests; return the program, called ``python``, in a folder of its own.

    The workers that it starts on this machine are forked as well.
    """
    return _programs("command") / "python" / "python"


def worker_python() -> Path:
    """Return the same of a server that has imported what workers need, and little else."""
    return _programs("work") / "python" / "python"


def training_python() -> Path:
    """Return the same of a server that has imported PyTorch."""
    return _programs("training") / "python" / "python"


def testing_python() -> Path:
    """Return the same for the processes that run tests: what these start is what they start as real ones."""
    return _programs("training") / _TESTING / "python"


@cache
def _programs(kind: Kind) -> Path:
    """The folder of the programs, whose server all processes of a run of tests share."""
    tests = int(os.environ.get(MAIN_PROCESS, os.getpid()))
    folder = Path(tempfile.gettempdir()) / f"seedfold-forked-{os.getuid()}-{tests}-{kind}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "python" / "python").exists():
            _start_server(folder, tests, kind)
    return folder


def _start_server(folder: Path, tests: int, kind: Kind) -> None:
    """Start a server that ends with the process ``tests``."""
    address = folder / "server"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, (folder / "log").open("wb") as log:
        listener.bind(str(address))
        listener.listen(64)
        arguments = [str(listener.fileno()), str(tests), str(folder), kind]
        files = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "pass_fds": [listener.fileno()]}
        subprocess.Popen([sys.executable, __file__, *arguments], start_new_session=True, **files)
    for name in ("command/seedfold", "python/python", f"{_TESTING}/python"):
        program = folder / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(_CLIENT.format(python=sys.executable, address=str(address)))
        program.chmod(0o755)


@dataclass(frozen=True)
class Forked:
    """A process, a file that can be read once it has ended, and the program that it stands for."""

    pid: int
    end: int
    client: socket.socket

    def close(self) -> None:
        """Close both files."""
        os.close(self.end)
        self.client.close()


class Server:
    """Forks a process for each request, passes signals on to it, and hands its exit code on.

    One process does this for all, because each fork takes longer the more has been imported.
    """

    def __init__(self, listener: socket.socket, tests: int) -> None:
        self._listener, self._end_of_tests = listener, os.pidfd_open(tests)
        self._forked: dict[int, Forked] = {}
        """What is forked, by each of its two files."""
        self._watched = select.poll()
        self._watched.register(listener, select.POLLIN)
        self._watched.register(self._end_of_tests, select.POLLIN)

    def serve(self) -> list[str] | None:
        """Return the arguments of a request in its process, and None here once the process ``tests`` has ended."""
        while True:
            # One at a time: what is done for one closes files, whose numbers the next may have.
            file, _ = self._watched.poll()[0]
            if file == self._end_of_tests:
                return self._kill_all()
            if file != self._listener.fileno():
                self._attend(file, self._forked[file])
            elif (arguments := self._fork()) is not None:
                return arguments

    def _fork(self) -> list[str] | None:
        """Receive a request, fork its process, and return its arguments there."""
        client, _ = self._listener.accept()
        head, files, _, _ = socket.recv_fds(client, 8, 3)
        request, size = b"", int.from_bytes(head, "big")
        while len(request) < size and (part := client.recv(1 << 20)):
            request += part
        pid = os.fork() if request and len(request) == size else None
        if pid == 0:
            client.close()
            self._close_all()
            return _become(files, *marshal.loads(request))
        for file in files:
            os.close(file)
        if pid is None:  # The program was killed before it had said what it wants.
            client.close()
        else:
            self._watch(Forked(pid, os.pidfd_open(pid), client))
        return None

    def _watch(self, forked: Forked) -> None:
        for file in (forked.end, forked.client.fileno()):
            self._forked[file] = forked
            self._watched.register(file, select.POLLIN)

    def _attend(self, file: int, forked: Forked) -> None:
        """Hand an exit code on, pass on a signal, or kill a process whose client has ended."""
        if file == forked.end:
            self._hand_on(forked)
            return
        number = forked.client.recv(1)
        os.kill(forked.pid, number[0] if number else signal.SIGKILL)
        if not number:
            self._watched.unregister(file)

    def _hand_on(self, forked: Forked) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(forked.pid, 0)[1])
        for file in (forked.end, forked.client.fileno()):
            del self._forked[file]
            with suppress(KeyError):
                self._watched.unregister(file)
        with suppress(BrokenPipeError):  # A killed one does not ask.
            forked.client.sendall(code.to_bytes(2, "big", signed=True))
        forked.close()

    def _close_all(self) -> None:
        """Leave nothing open in a forked process by which its server could seem to be alive."""
        self._listener.close()
        os.close(self._end_of_tests)
        for forked in set(self._forked.values()):
            forked.close()

    def _kill_all(self) -> None:
        """Nobody waits any more for what is still at work."""
        for forked in set(self._forked.values()):
            os.kill(forked.pid, signal.SIGKILL)


def _become(
    files: Sequence[int], arguments: list[str], folder: bytes, environment: dict[bytes, bytes], ignored: Sequence[int]
) -> list[str]:
    """Take over what the program was called with; return its arguments."""
    os.setsid()
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    # Processes that this one spawns look there for the file of its main module.
    process.ORIGINAL_DIR = os.fsdecode(folder)
    os.environ.clear()
    os.environb.update(environment)
    return arguments


def run_python(arguments: Sequence[str]) -> None:
    """Run a module, a file or a text, as Python does; a fresh Python does that if this process could not."""
    sys.orig_argv[:] = [sys.executable, *arguments]
    paths = [Path(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    flags = list(takewhile({"-P", "-u"}.__contains__, arguments))
    kind, *rest = arguments[len(flags) :] or ["-i"]
    is_known = kind in {"-c", "-m"} or not kind.startswith("-")
    # A copy of Seedfold's own code is what is to be imported, and not what the server has.
    if not is_known or any((path / "seedfold").exists() for path in paths):
        os.execv(sys.executable, [sys.executable, *arguments])
    own = [] if "-P" in flags else ["" if kind == "-c" else str(Path.cwd() if kind == "-m" else Path(kind).parent)]
    sys.path[:] = [*own, *map(str, paths), *sys.path]
    for path in [path for path in paths if (path / "sitecustomize.py").exists()][:1]:
        runpy.run_path(str(path / "sitecustomize.py"))
    if "-u" in flags or "PYTHONUNBUFFERED" in os.environ:
        sys.stdout, sys.stderr = (
            TextIOWrapper(FileIO(number, "w", closefd=False), write_through=True) for number in (1, 2)
        )
    if kind == "-c":
        sys.argv[:] = ["-c", *rest[1:]]
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    elif kind == "-m":
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


def run_command(arguments: Sequence[str]) -> None:
    """Run ``seedfold``."""
    sys.argv[:], sys.orig_argv[:] = arguments, [sys.executable, *arguments]
    sys.path.insert(0, str(Path(arguments[0]).parent))
    sys.exit(import_module("seedfold.orchestrator.cli").main())


class ForkingSys:
    """The module `sys`, but for the program that is Python."""

    def __init__(self, find_python: Callable[[], Path]) -> None:
        self._find_python = find_python

    @property
    def executable(self) -> str:
        """The program that is started."""
        return str(self._find_python())

    def __getattr__(self, name: str) -> object:
        return getattr(sys, name)


def main(listener: socket.socket, tests: int, folder: Path, modules: Iterable[str]) -> None:
    """Serve; in the process of a request, do what is asked for."""
    imported = map(import_module, modules)
    for name in [name for module in imported for name in getattr(module, "PRELOAD", ())]:
        with suppress(ImportError):
            import_module(name)
    take_for_installed()
    for one in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        # Each fork would undo at its end what PyTorch has registered here, which takes longer than the fork.
        one.atexit = False
    gc.freeze()
    sys.path.pop(0)
    arguments = Server(listener, tests).serve()
    if arguments is None:
        rmtree(folder, ignore_errors=True)
    else:
        if Path(arguments[0]).parent.name != _TESTING:
            for name in sys.modules.keys() & _STARTS_PYTHON:
                vars(sys.modules[name])["sys"] = ForkingSys(lambda: folder / "python" / "python")
        _run_and_exit(arguments)


def _run_and_exit(arguments: Sequence[str]) -> NoReturn:
    """Do what was asked for, and end as Python does, but leave what was imported to the kernel: that is faster."""
    code = 1
    try:
        run_python(arguments[1:]) if Path(arguments[0]).name == "python" else run_command(arguments)
        code = 0
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            code = error.code or 0
        else:
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(
        socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3]), _IMPORTED[cast(Kind, sys.argv[4])]
    )
