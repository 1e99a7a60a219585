"""One error of the storage that passes changes nothing, whichever call it hits."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from failing_storage import CALLS, FailingCalls, pass_quickly

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import SNAPSHOT_RECORD
from seedfold.orchestrator.ledger.atomic_files import JsonLinesAppender, create_once, write_atomically
from seedfold.orchestrator.ledger.claims import claim_attempt, is_published
from seedfold.orchestrator.ledger.dead_workers import DeadWorker, find_dead_workers
from seedfold.orchestrator.ledger.events import EventReader, EventWriter
from seedfold.orchestrator.ledger.layout import ROOT_MARK, Root, find_root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.results.store.atomic_files import fsync_path, make_folder
from seedfold.results.store.passing_errors import try_again
from seedfold.results.store.published import find_damage, load_result, publish

JOB = "ab" + "0" * 62
SETTINGS: dict[str, Any] = {"cluster": {}, "failures": {}}


def _plan(root: Root) -> object:
    job = JobDescription(JOB, "study", "train", {}, {}, (), Resources(), "toy.run", JOB)
    write_plan(root.study_folder("study"), PlanHeader.create([], [], SETTINGS, Path("/")), [job])
    return [found.id for found in Ledger(root.study_folder("study")).plans.jobs.values()]


def _root(root: Root) -> object:
    root.mark_as_root()
    study = root.study_folder("study")
    record = study.snapshots_folder / "digest" / SNAPSHOT_RECORD
    try_again(lambda: make_folder(record.parent), record)
    try_again(record.touch, record)
    has_code = "digest" in study.snapshot_modules_folder("digest").parts
    return find_root(root.path).path == root.path, study.is_planned, has_code


def _dead_workers(root: Root) -> object:
    study = root.study_folder("study")
    submission = Submission.create(study, [JOB], SETTINGS, Path("/"), token="token")
    log = submission.folder / "submitit" / "worker.err"
    try_again(lambda: make_folder(log.parent), log)
    try_again(lambda: log.write_text("it died\n"), log)
    found = find_dead_workers(study, [JOB]), DeadWorker(submission, 1).log_file
    return len(found[0]), found[1] and found[1].name


def _events(root: Root) -> object:
    folder = root.study_folder("study").events_folder
    writer, reader = EventWriter(folder), EventReader(folder)
    seen = []
    for number in (1, 2):
        writer.append("interrupted", job=JOB, n=number, reason="")
        seen += [event["n"] for event in reader.read_new()]
    return seen, [event["n"] for event in EventReader(folder).read_new()]


def _submission(root: Root) -> object:
    submission = Submission.create(root.study_folder("study"), [JOB], SETTINGS, Path("/"), token="token")
    assert submission.tasks.record_start(0, 0)
    submission.tasks.record_heartbeat(0, 0)
    return Ledger(root.study_folder("study")).open_submission_of.keys(), submission.liveness()


def _claims(root: Root) -> object:
    study = root.study_folder("study")
    return claim_attempt(root, study, JOB, 1, "token"), claim_attempt(root, study, JOB, 1, "token")


def _result(root: Root) -> object:
    study = root.study_folder("study")
    staging, target = study.job_folder(JOB) / "staging.1", study.result_folder(JOB, 1)
    named = dict.fromkeys(("id", "study", "stage", "run"), "x") | {key: {} for key in ("axes", "config", "parents")}
    record = named | {"reads": {}, "code": "", "provenance": {}, "attempt": 1, "started": 0.0, "ended": 1.0}
    publish(staging, target, record)
    return is_published(study, JOB, 1), find_damage(target), load_result(target).ended


ACTIONS: dict[str, Callable[[Root], object]] = {
    "plan": _plan,
    "root": _root,
    "dead_workers": _dead_workers,
    "events": _events,
    "submission": _submission,
    "claims": _claims,
    "result": _result,
}
PASSING = (errno.EIO, errno.ESTALE, errno.EINTR)
EXPECTED = {
    "plan": [JOB],
    "root": (True, False, True),
    "dead_workers": (0, "worker.err"),
    "events": ([1, 2], [1, 2]),
    "submission": ({JOB: 0}.keys(), "alive"),
    "claims": (None, "attempt 1 was begun by another process"),
    "result": (True, None, 1.0),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("action", ACTIONS)
def test_one_error_that_passes_changes_nothing(
    action: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (action, call) == ("result", "os.fsync"):
        pytest.skip("a file that was not synced is not whole: the attempt is tried again")
    pass_quickly(monkeypatch)
    # One call after the other fails, each in a root of its own.
    for position in count():
        with monkeypatch.context() as patch:
            calls, root = FailingCalls(patch, tmp_path), Root(tmp_path / str(position))
            study = root.study_folder("study")
            study.plans_folder.mkdir(parents=True)
            staging = study.job_folder(JOB) / "staging.1"
            staging.mkdir(parents=True)
            (staging / "answer.txt").write_text("42")
            calls.fail(call, PASSING[position % len(PASSING)], after=position)
            assert ACTIONS[action](root) == EXPECTED[action], position
        assert not [path for path in root.path.rglob(".*") if path.is_file() and path.name != ROOT_MARK]
        if not calls.failed:
            return


@pytest.mark.parametrize("call", ["os.link", "os.rename", "os.replace"])
def test_a_call_that_was_carried_out_and_failed_is_not_taken_for_that_of_another(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_quickly(monkeypatch)
    FailingCalls(monkeypatch, tmp_path).fail(call, errno.EIO, carried_out=True)
    assert create_once(tmp_path / "claim", "mine")
    write_atomically(tmp_path / "plan", ["text"])
    assert ((tmp_path / "claim").read_text(), (tmp_path / "plan").read_text()) == ("mine", "text")
    assert sorted(os.listdir(tmp_path)) == ["claim", "plan"]  # noqa: PTH208


def test_an_error_that_stays_is_raised_with_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_quickly(monkeypatch)
    appender = JsonLinesAppender(tmp_path / "events.jsonl")
    appender.append({"n": 1})
    FailingCalls(monkeypatch, tmp_path).fail("os.write", errno.EIO, times=10**9)
    with pytest.raises(OSError, match=r"events\.jsonl"):
        appender.append({"n": 2})


def test_a_line_is_there_once_although_it_was_written_and_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_quickly(monkeypatch)
    appender = JsonLinesAppender(tmp_path / "events.jsonl")
    appender.append({"n": 1})
    FailingCalls(monkeypatch, tmp_path).fail("os.fsync", errno.EIO, times=3)
    appender.append({"n": 2})
    assert [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_without_hard_links_one_of_many_creates_a_file(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FailingCalls(monkeypatch, tmp_path).fail("os.link", number, times=10**9)
    path = tmp_path / "claims" / "x.1"
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda text: create_once(path, str(text)), range(32)))
    assert sum(created) == 1
    assert path.read_text() == str(created.index(True))
    assert list(path.parent.iterdir()) == [path]


def test_a_submission_that_is_just_being_created_is_read_the_next_time(tmp_path: Path) -> None:
    root = Root(tmp_path)
    study = root.study_folder("study")
    submission = Submission.create(study, [JOB], SETTINGS, Path("/"))
    intent = submission.folder / "intent.json"
    content = intent.read_bytes()
    intent.write_bytes(b"")
    ledger = Ledger(study)
    assert ledger.damaged_submissions.keys() == {submission.token}
    intent.write_bytes(content)
    ledger.refresh()
    assert ledger.damaged_submissions == {}
    assert ledger.open_submission_of.keys() == {JOB}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders_can_hold_a_root(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse_folders(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    fsync_path(tmp_path)
    assert create_once(tmp_path / "claim", "mine")


def test_a_file_that_cannot_be_synced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    FailingCalls(monkeypatch, tmp_path).fail("os.fsync", errno.EINVAL)
    with pytest.raises(OSError, match="Invalid"):
        fsync_path(tmp_path / "file")
