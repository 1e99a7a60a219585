from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from seedfold.orchestrator.ledger import file_system_clock
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.file_system_clock import file_system_time
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission


@pytest.fixture
def elsewhere(tmp_path: Path) -> Submission:
    """A submission whose worker, on another machine, has just recorded a heartbeat."""
    process = replace(ProcessIdentity.current(), host="node7").to_dict()
    folder = StudyFolder(tmp_path / "study").submissions_folder / "token"
    intent = {"jobs": [], "rerun": [], "settings": {"cluster": {}}, "code_folder": ".", "launcher": process}
    create_once(folder / "intent.json", json.dumps(intent | {"array": None, "created": 0.0}))
    create_once(folder / "tasks" / "0.0", json.dumps(process))
    return Submission.read(folder)


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
def test_the_clock_of_the_reader_says_nothing_about_heartbeats(
    ahead_s: float, elsewhere: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + ahead_s)
    assert elsewhere.liveness() == "alive"
    heartbeat = elsewhere.folder / "tasks" / "0.0"
    os.utime(heartbeat, (clock() - 901, clock() - 901))
    assert elsewhere.liveness() == "dead"


def test_a_look_at_many_jobs_writes_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, folders = file_system_clock._time_of_new_file, []

    def count(folder: Path) -> float:
        folders.append(folder)
        return read(folder)

    monkeypatch.setattr(file_system_clock, "_time_of_new_file", count)
    times = [file_system_time(StudyFolder(tmp_path)) for _ in range(1000)]
    assert (folders, times) == ([tmp_path], sorted(times))
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_this_machine_has_the_time(tmp_path: Path) -> None:
    assert abs(file_system_time(StudyFolder(tmp_path / "no" / "study")) - time.time()) < 60


def test_submissions_of_earlier_versions_with_a_shorter_silence_can_be_read(elsewhere: Submission) -> None:
    file = elsewhere.folder / "intent.json"
    intent = json.loads(file.read_text())
    intent["settings"]["cluster"] = {"executor": "local", "silent_s": 20}
    file.write_text(json.dumps(intent))
    read = Submission.read(elsewhere.folder)
    assert (read.silent_s, read.settings["cluster"]["silent_s"]) == (90, 90)
