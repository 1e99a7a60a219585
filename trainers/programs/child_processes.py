"""Processes that a program has started of itself, as Lightning starts the other ranks of distributed training."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

LONGEST_WAIT_S = 60.0
_log = logging.getLogger(__name__)


def wait_for_ranks() -> None:
    """Wait until the children of this process that run the same program have ended, because a job ends them with it.

    They may have something left to write after the last step that all ranks do together. Other children, such as
    servers, are not waited for.
    """
    ranks = list(_same_program(psutil.Process()))
    _, alive = psutil.wait_procs(ranks, timeout=LONGEST_WAIT_S)
    if alive:
        _log.warning("%d processes of the program did not end after it; they are killed", len(alive))


def _same_program(process: psutil.Process) -> Iterator[psutil.Process]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    names = {Path(sys.argv[0]).name, *([spec.name] if spec is not None else [])}
    for child in process.children():
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if names & {word if "/" not in word else Path(word).name for word in words}:
            yield child
