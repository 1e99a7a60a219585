from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from seedfold.orchestrator.ledger.process_identity import ProcessIdentity


def test_this_process_is_alive_under_its_identity_only() -> None:
    me = ProcessIdentity.current()
    assert me.liveness() == "alive"
    assert replace(me, start=me.start - 1).liveness() == "dead"
    assert replace(me, host="elsewhere").liveness() == "unknown"


MACHINE, OTHER_MACHINE = "0" * 32, "1" * 32
NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("theirs", "start", "expected"),
    [
        # An earlier boot of this machine.
        (f"earlier/pid:[1]/{MACHINE}/{NOW - 9000}", 100, "dead"),
        # Another machine of this name, with an id of its own.
        (f"other/pid:[1]/{OTHER_MACHINE}/{NOW - 9000}", 100, "unknown"),
        # A clone, or a container, with this machine's name and id: its process began when this machine was up.
        (f"other/pid:[1]/{MACHINE}/{NOW - 9000}", 9_999_999, "unknown"),
        (f"other/pid:[1]/{MACHINE}/{NOW + 60}", 100, "unknown"),
        # Machines without an id, and processes of an earlier version.
        (f"other/pid:[1]//{NOW - 9000}", 100, "unknown"),
        ("other/pid:[1]", 100, "unknown"),
        # Another container on this machine.
        (f"this/pid:[2]/{MACHINE}/{NOW}", 100, "unknown"),
    ],
)
def test_what_is_said_of_processes_that_this_machine_cannot_see(
    theirs: str, start: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = f"this/pid:[1]/{MACHINE}/{NOW}"
    monkeypatch.setattr("seedfold.orchestrator.ledger.process_identity._boot", lambda: ours)
    assert replace(ProcessIdentity.current(), boot=theirs, start=start).liveness() == expected


def test_a_process_of_an_earlier_version_is_seen_on_this_boot() -> None:
    me = ProcessIdentity.current()
    assert replace(me, boot="/".join(me.boot.split("/")[:2])).liveness() == "alive"
    assert not replace(me, host="elsewhere").is_of_this_boot()
    assert me.is_of_this_boot()


def test_a_killed_process_is_dead_before_it_is_reaped() -> None:
    child = subprocess.Popen(["sleep", "60"])
    identity = ProcessIdentity.of_pid(child.pid)
    assert identity.liveness() == "alive"
    assert identity.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert identity.liveness() == "dead"
    child.wait()
    assert identity.liveness() == "dead"
    assert not identity.send_signal(signal.SIGTERM)


def test_no_process_has_no_identity() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(ProcessLookupError):
        ProcessIdentity.of_pid(child.pid)


def test_a_process_that_another_user_hides_is_neither_alive_nor_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = ProcessIdentity.current()

    def refuse(pid: int, number: int) -> None:
        raise PermissionError(pid)

    monkeypatch.setattr("seedfold.orchestrator.ledger.process_identity.Path.read_text", _no_such_file)
    monkeypatch.setattr("os.kill", refuse)
    monkeypatch.setattr("seedfold.orchestrator.ledger.process_identity._boot", lambda: hidden.boot)
    assert hidden.liveness() == "unknown"
    assert not hidden.send_signal(15)


def _no_such_file(path: Path) -> str:
    raise FileNotFoundError(path)
