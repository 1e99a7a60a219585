"""What one attempt tells of itself when something is wrong before its run begins."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.worker.job_process import run_attempt
from seedfold.orchestrator.worker.messages import AttemptRequest

JOB = JobDescription("a" * 64, "s", "train", {}, {}, (), Resources(), "toy.run", "a" * 64)


def test_a_claim_for_which_there_is_no_space_is_a_failure_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("seedfold.orchestrator.worker.job_process.claim_attempt", full)
    before, (heard, told) = signal.getsignal(signal.SIGTERM), os.pipe()
    try:
        assert run_attempt(AttemptRequest(str(tmp_path), "s", "token", 1, JOB.to_dict(), {}, {}), told) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(told)
    with os.fdopen(heard) as file:
        message = json.loads(file.read())
    assert (message["m"], message["kind"]) == ("failed", "disk")
    assert "quota" in message["reason"]
