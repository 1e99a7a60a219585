"""File systems that fail, in this process: calls that raise errors, caches that hide what others did, a disk of 8 MB."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seedfold.orchestrator.ledger import past_caches
from seedfold.results.store import passing_errors

CALLS = ("open", "link", "rename", "stat", "listdir", "scandir", "write", "fsync", "mkdir", "unlink", "utime")


class FailingCalls:
    """Has calls of `os` that name a path below ``folder`` fail: each place of the code ``times`` times, then no more."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self._folder, self._patch = str(folder), patch
        self.failed: list[str] = []

    def fail(self, name: str, number: int, times: int, *, carried_out: bool = False) -> None:
        """Have the next calls of a function raise an error; with ``carried_out`` they do their work all the same."""
        original, left = getattr(os, name), times

        def call(*args: Any, **options: Any) -> Any:
            nonlocal left
            concerned = not isinstance(args[0], str | Path) or str(args[0]).startswith(self._folder)
            if not left or not concerned:
                return original(*args, **options)
            left -= 1
            self.failed.append(name)
            if carried_out:
                original(*args, **options)
            raise OSError(number, os.strerror(number))

        self._patch.setattr(os, name, call)


def pass_quickly(patch: pytest.MonkeyPatch) -> list[float]:
    """Have pauses take no time; return the list of those that would have been made."""
    pauses: list[float] = []
    patch.setattr(passing_errors.time, "sleep", pauses.append)
    passing_errors.restore_patience()
    return pauses


def show_caches(patch: pytest.MonkeyPatch, longest_s: float) -> None:
    """Have the file system count as one that may show old states for so long."""
    patch.setattr(past_caches, "_find_mount", lambda folder: ("nfs4", [f"acdirmax={longest_s:.0f}"]))
    past_caches.longest_cache_s.cache_clear()
    past_caches._looked_at.clear()


@contextmanager
def uncached(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what is known of file systems at the end, for the tests that follow."""
    try:
        yield
    finally:
        past_caches.longest_cache_s.cache_clear()


def needs_small_disk() -> None:
    """Skip the test where nobody may mount a disk of its own."""
    probe = ["unshare", "--mount", "true"]
    if os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("only root, with mount namespaces, can mount a small disk")


_ON_SMALL_DISK = """
import subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={sys.argv[1]}", "small", sys.argv[2]], check=True)
exec(sys.argv[3])
"""


def run_on_small_disk(folder: Path, size: str, program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program in a mount namespace of its own, in which a small disk is in ``folder``."""
    folder.mkdir(exist_ok=True)
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", _ON_SMALL_DISK]
    return subprocess.run(
        [*command, size, str(folder), program], capture_output=True, text=True, timeout=600, check=False, **options
    )


Action = Callable[[], object]
