from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from failing_storage import FailingCalls, needs_small_disk, pass_quickly, run_on_small_disk

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.slot_waits import FULL_DISK, read_wait
from seedfold.orchestrator.settings.failures import Failure
from seedfold.orchestrator.worker import storage_wait
from seedfold.orchestrator.worker.storage_wait import StorageWait, WaitingEventWriter, blame_full_disk, has_room


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = StudyFolder(tmp_path / "study").submissions_folder / "token"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(("number", "says"), [(errno.ENOSPC, FULL_DISK), (errno.EDQUOT, FULL_DISK), (errno.EIO, "")])
def test_an_event_is_recorded_once_the_disk_takes_it(
    number: int, says: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_quickly(monkeypatch)
    beats: list[str] = []
    calls = FailingCalls(monkeypatch, folder.parents[1] / "events")
    calls.fail("os.write", number, times=30)
    storage = StorageWait(folder, lambda: beats.append(read_wait(folder)), may_wait=lambda: True)
    events = WaitingEventWriter(folder.parents[1] / "events", storage)
    events.append("interrupted", job="x", n=1, reason="")
    [file] = (folder.parents[1] / "events").iterdir()
    assert len(file.read_text().splitlines()) == 1
    # Meanwhile the worker is alive and says what it waits for; afterwards it no longer does.
    assert set(beats) == {says}
    assert read_wait(folder) == ""


def test_a_worker_that_is_to_stop_waits_no_longer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pass_quickly(monkeypatch)
    storage = StorageWait(folder, lambda: None, may_wait=lambda: False)

    def fill() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        storage.until_done(fill)


def test_other_errors_are_not_waited_for(folder: Path) -> None:
    def fail() -> None:
        raise ValueError("an error of the code")

    with pytest.raises(ValueError, match="of the code"):
        StorageWait(folder, lambda: None, may_wait=lambda: True).until_done(fail)


def test_no_job_is_started_before_there_is_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room, now = False, 0.0
    monkeypatch.setattr(storage_wait, "has_room", lambda folder: room)
    monkeypatch.setattr(storage_wait.time, "monotonic", lambda: now)
    storage = StorageWait(folder, lambda: None, may_wait=lambda: True)
    assert not storage.holds_jobs()
    storage.hold_jobs(60)
    for now in (0.0, 30.0, 90.0):  # noqa: B007
        assert storage.holds_jobs()
        assert read_wait(folder) == FULL_DISK
    room, now = True, 95.0
    assert not storage.holds_jobs()
    assert read_wait(folder) == ""


_PROBE = """
import os
from pathlib import Path
from seedfold.orchestrator.worker.storage_wait import has_room
folder = Path(sys.argv[2])
print(has_room(folder), has_room(folder, 64 * 1024), list(folder.iterdir()))
with open(folder / "filler", "wb") as filler:
    try:
        while True:
            filler.write(bytes(4096))
            filler.flush()
    except OSError as error:
        print(error.errno)
        os._exit(print(has_room(folder), has_room(folder, 64 * 1024), os.listdir(folder), flush=True) or 0)
"""


def test_room_is_asked_of_the_disk_itself(tmp_path: Path) -> None:
    needs_small_disk()
    ended = run_on_small_disk(tmp_path / "small", "8m", _PROBE)
    assert ended.stdout.splitlines() == ["True True []", str(errno.ENOSPC), "False False ['filler']"], ended.stderr


def test_an_error_on_a_full_disk_is_one_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Failure("error", "RuntimeError: file write failed", "digest")
    assert blame_full_disk(failure, tmp_path) == failure
    FailingCalls(monkeypatch, tmp_path).fail("os.fsync", errno.ENOSPC, times=2)
    blamed = blame_full_disk(failure, tmp_path)
    assert (blamed.kind, blamed.reason) == ("disk", "the disk of the root is full; RuntimeError: file write failed")
    nan = Failure("nan", "train/loss: nan", "digest")
    assert blame_full_disk(nan, tmp_path) == nan
    assert not has_room(tmp_path)
    assert os.listdir(tmp_path) == []  # noqa: PTH208
