"""File systems that fail, in this process: calls that raise errors, caches that hide what others did, a small disk."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seedfold.orchestrator.ledger import past_caches
from seedfold.results.store import passing_errors

CALLS = (
    *("os.open", "os.link", "os.rename", "os.stat", "os.listdir", "os.scandir", "os.write", "os.fsync", "os.mkdir"),
    *("os.unlink", "os.utime", "io.open"),
)
"""What pathlib and the ledger call."""


class FailingCalls:
    """Has calls of the operating system that name a path below ``folder`` fail some times, then no more."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self._folder, self._patch = str(folder), patch
        self.failed: list[str] = []

    def fail(self, name: str, number: int, times: int = 1, *, after: int = 0, carried_out: bool = False) -> None:
        """Have calls of a function raise an error, ``after`` so many that do not.

        With ``carried_out`` they do their work all the same.
        """
        module = {"os": os, "io": io}[name.split(".")[0]]
        name = name.split(".")[1]
        original, left, before = getattr(module, name), times, after

        def call(*args: Any, **options: Any) -> Any:
            nonlocal left, before
            concerned = not isinstance(args[0], str | Path) or str(args[0]).startswith(self._folder)
            if not left or not concerned:
                return original(*args, **options)
            if before:
                before -= 1
                return original(*args, **options)
            left -= 1
            self.failed.append(name)
            if carried_out:
                original(*args, **options)
            raise OSError(number, os.strerror(number))

        self._patch.setattr(module, name, call)


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
