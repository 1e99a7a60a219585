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


def test_a_reboot_kills_and_another_container_cannot_be_seen() -> None:
    me = ProcessIdentity.current()
    boot, namespace = me.boot.split("/")
    assert replace(me, boot=f"another-boot/{namespace}").liveness() == "dead"
    assert replace(me, boot=f"{boot}/pid:[1]").liveness() == "unknown"


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
