"""What one attempt tells of itself when something is wrong before its run begins."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.worker.job_process import run_attempt
from seedfold.orchestrator.worker.messages import AttemptRequest

JOB = JobDescription("a" * 64, "s", "train", {}, {}, (), Resources(), "toy.run", "a" * 64)


def _fail_to_claim(error: Exception, root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run an attempt whose claim raises an error; return what is told of it."""

    def fail(*args: object) -> None:
        raise error

    patch.setattr("seedfold.orchestrator.worker.job_process.claim_attempt", fail)
    before, (heard, told) = signal.getsignal(signal.SIGTERM), os.pipe()
    try:
        assert run_attempt(AttemptRequest(str(root), "s", "token", 1, JOB.to_dict(), {}, {}), told) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(told)
    with os.fdopen(heard) as file:
        message: dict[str, Any] = json.loads(file.read())
    return message


def test_a_claim_for_which_there_is_no_space_is_a_failure_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = _fail_to_claim(OSError(errno.EDQUOT, "Disk quota exceeded"), tmp_path, monkeypatch)
    assert (message["m"], message["kind"]) == ("failed", "disk")
    assert "quota" in message["reason"]


def test_what_happened_is_told_although_nothing_can_be_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with monkeypatch.context() as patch, open(full, "w", buffering=1, closefd=False) as log:
        patch.setattr(sys, "stderr", log)
        message = _fail_to_claim(OSError(errno.ENOSPC, "No space left on device"), tmp_path, patch)
        # What could not be printed would be tried again when the file is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), full)
    assert (message["m"], message["kind"]) == ("failed", "disk")
