from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from failing_storage import FailingCalls, pass_quickly

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.worker.heartbeat import HEARTBEAT_S, Heartbeat

JOB, OTHER = "ab" + "0" * 62, "cd" + "0" * 62
SETTINGS: dict[str, Any] = {"cluster": {"silent_s": 900}, "failures": {}}


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "study")


@pytest.fixture
def submission(study: StudyFolder) -> Submission:
    submission = Submission.create(study, [JOB, OTHER], SETTINGS, Path("/"), token="token")
    submission.tasks.record_start(0, 0)
    return submission


def running(*jobs: str) -> list[Any]:
    return [SimpleNamespace(job=SimpleNamespace(id=job), attempt=1) for job in jobs]


def freeze(submission: Submission, seconds: float, patch: pytest.MonkeyPatch) -> None:
    """Have the last heartbeat be so long ago."""
    moment = time.time() - seconds
    os.utime(submission.folder / "tasks" / "0.0", (moment, moment))
    clock = time.monotonic()
    patch.setattr(time, "monotonic", lambda: clock + HEARTBEAT_S)


def test_after_a_silence_a_worker_gives_up_what_others_have_begun(
    study: StudyFolder, submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat = Heartbeat(study, submission, 0, 0)
    assert heartbeat.beat(running(JOB, OTHER)) == []
    for job, attempt in ((JOB, 1), (JOB, 2), (OTHER, 1)):
        create_once(study.claim_file(job, attempt), "{}")
    freeze(submission, 899, monkeypatch)
    assert heartbeat.beat(running(JOB, OTHER)) == []
    monkeypatch.undo()
    heartbeat = Heartbeat(study, submission, 0, 0)
    freeze(submission, 901, monkeypatch)
    assert [one.job.id for one in heartbeat.beat(running(JOB, OTHER))] == [JOB]
    assert not heartbeat.task_was_ended


def test_a_worker_whose_task_was_ended_meanwhile_gives_up_everything(
    study: StudyFolder, submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat = Heartbeat(study, submission, 0, 0)
    submission.tasks.record_end(0, 0, by="scheduler")
    freeze(submission, 901, monkeypatch)
    assert [one.job.id for one in heartbeat.beat(running(JOB, OTHER))] == [JOB, OTHER]
    assert heartbeat.task_was_ended


def test_a_silence_is_not_forgotten_while_the_storage_is_away(
    study: StudyFolder, submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_quickly(monkeypatch)
    create_once(study.claim_file(JOB, 2), json.dumps({}))
    heartbeat = Heartbeat(study, submission, 0, 0)
    freeze(submission, 901, monkeypatch)
    with monkeypatch.context() as patch:
        FailingCalls(patch, study.path / "claims").fail("os.listdir", errno.EIO, times=10**9)
        assert heartbeat.beat(running(JOB)) == []
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock + HEARTBEAT_S)
    assert [one.job.id for one in heartbeat.beat(running(JOB))] == [JOB]
