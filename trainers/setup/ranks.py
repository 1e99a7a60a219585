"""One job on several devices of a node: a process for each, which learn from their shares of every batch.

The job's own process starts them before it has touched a device, passes a stop on to them, and fails with the first
of them that fails. All of them end when it ends, whatever ended it. What is written, the process of rank 0 writes.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import math
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from seedfold.jobs.secret_values import traceback_text
from seedfold.jobs.work import Work

_POLL_EVERY_S = 0.2
RankFunction = Callable[[Work, "Ranks"], None]


@dataclass(frozen=True)
class Ranks:
    """The place of this process among the ``count`` of its job. Every function is to be called by all of them."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes what the job leaves behind."""
        return self.rank == 0

    def share_of(self, size: int) -> slice:
        """The part of ``size`` consecutive things that is for this process; the parts differ by one at most."""
        return slice(self.rank * size // self.count, (self.rank + 1) * size // self.count)

    def sum(self, value: float) -> float:
        """The sum of what the processes have."""
        return math.fsum(self.gather(value)) if self.count > 1 else value

    def gather(self, value: Any) -> list[Any]:
        """What the processes have, in order of rank."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def value_of_first(self, value: int) -> int:
        """What rank 0 says, a small number: cheap enough to be asked after every step."""
        if self.count == 1:
            return value
        import torch
        from torch import distributed

        tensor = torch.tensor([value])
        distributed.broadcast(tensor, 0)
        return int(tensor)


SINGLE_RANK = Ranks()
"""A job in one process."""


class _RankKilledError(Exception):
    """A rank ended without a word, with this exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.code = exit_code


def run_on_ranks(count: int, backend: str, work: Work, function: RankFunction) -> None:
    """Have ``count`` processes do ``call(work, ranks)``, which talk through torch's ``backend``.

    Raises what the first of them to fail raised. When one is killed, this process dies of the same signal.
    """
    if count == 1:
        function(work, SINGLE_RANK)
        return
    with (
        tempfile.TemporaryDirectory(prefix="seedfold-ranks-") as folder,
        _RankProcesses(work, Path(folder)) as processes,
    ):
        for rank in range(count):
            processes.start(Ranks(rank, count), backend, function)
        try:
            processes.wait_for_all()
        except _RankKilledError as killed:
            code = killed.code
        else:
            return
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


class _RankProcesses:
    """The processes of a job, and what they say: ``(rank, kind, content)``."""

    def __init__(self, work: Work, folder: Path) -> None:
        self._work, self._folder = work, folder
        self._context = multiprocessing.get_context("fork")
        self._stop = self._context.Event()
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []

    def __enter__(self) -> _RankProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def start(self, ranks: Ranks, backend: str, function: RankFunction) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        work = self._work
        if ranks.is_first:
            work = replace(work, reads=_make_sender(theirs, "reads"), progress=_make_sender(theirs, "progress"))
            work = replace(work, stop_requested=self._stop.is_set)
        process = self._context.Process(target=_run_rank, args=(theirs, ranks, backend, self._folder, work, function))
        sys.stdout.flush()
        process.start()
        theirs.close()
        self._processes.append(process)
        self._pipes.append(ours)

    def wait_for_all(self) -> None:
        """Listen until all have ended in order; raises what one of them raised, or `_RankKilledError`."""
        open_pipes = list(self._pipes)
        while open_pipes:
            if self._work.stop_requested():
                self._stop.set()
            for pipe in wait(open_pipes, _POLL_EVERY_S):
                assert isinstance(pipe, Connection)
                if not self._receive_message(pipe):
                    open_pipes.remove(pipe)

    def _receive_message(self, pipe: Connection) -> bool:
        """Take a message; tells whether there may be more."""
        try:
            kind, content = pickle.loads(pipe.recv_bytes())
        except EOFError:
            process = self._processes[self._pipes.index(pipe)]
            process.join()
            if process.exitcode:
                raise _RankKilledError(process.exitcode) from None
            return False
        if kind == "failed":
            raise content
        if kind == "modules":
            _import_modules(content)
        else:
            getattr(self._work, kind)(*content)
        return True


def _make_sender(pipe: Connection, kind: str) -> Callable[..., None]:
    return lambda *content: pipe.send_bytes(pickle.dumps((kind, content)))


def _run_rank(pipe: Connection, ranks: Ranks, backend: str, folder: Path, work: Work, function: RankFunction) -> None:
    """Do the call in a process of its own, and tell how it went."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    modules_before = set(sys.modules)
    # What is registered so far is for the end of the process that has started this one.
    atexit._clear()
    try:
        with _process_group(ranks, backend, folder):
            function(work, ranks)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        pipe.send_bytes(_pickle_error(error, ranks))
        return
    finally:
        atexit._run_exitfuncs()
    if ranks.is_first:
        pipe.send_bytes(pickle.dumps(("modules", _new_project_modules(modules_before))))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def _process_group(ranks: Ranks, backend: str, folder: Path) -> Iterator[None]:
    """Join the others. They are on one machine: nothing goes over its network, and a file tells where they listen."""
    from torch import distributed

    os.environ.update({"LOCAL_RANK": str(ranks.rank), "RANK": str(ranks.rank), "WORLD_SIZE": str(ranks.count)})
    os.environ.update({"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"})
    place = f"file://{folder}/rendezvous"
    distributed.init_process_group(backend, init_method=place, rank=ranks.rank, world_size=ranks.count)
    yield
    distributed.destroy_process_group()


def _pickle_error(error: BaseException, ranks: Ranks) -> bytes:
    """The error as bytes; one that cannot be written keeps its text. The log has its traceback."""
    print(f"on device {ranks.rank} of {ranks.count}:", file=sys.stderr)
    print(traceback_text(error, os.environ), end="", file=sys.stderr)
    sys.stderr.flush()
    try:
        return _pickle_checked(("failed", error))
    except Exception:
        return pickle.dumps(("failed", RuntimeError(f"{type(error).__name__}: {error}")))


def _pickle_checked(message: object) -> bytes:
    written = pickle.dumps(message)
    pickle.loads(written)
    return written


def _new_project_modules(modules_before: set[str]) -> list[str]:
    """What was imported since, and does not come with a package or with Python."""
    new_modules = {
        name: getattr(module, "__file__", None) or ""
        for name, module in sys.modules.items()
        if name not in modules_before
    }
    return [
        name for name, file in new_modules.items() if file and "-packages/" not in file and f"{sys.prefix}/" not in file
    ]


def _import_modules(names: Sequence[str]) -> None:
    """Import what rank 0 has loaded: the code that computed a result is what the job's own process has loaded."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
