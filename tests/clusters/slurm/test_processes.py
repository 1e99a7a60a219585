"""Daemons are told from whatever else has their process id, and say where to look when they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters.slurm.processes import ClusterError, Daemon, descendants, start_time


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    for name in ("run", "log"):
        (tmp_path / name).mkdir()
    daemon = Daemon(tmp_path, "sleeper")
    yield daemon
    daemon.stop()


def start(daemon: Daemon, script: str) -> int:
    daemon.start(["sh", "-c", script], dict(os.environ))
    assert daemon.pid is not None
    return daemon.pid


def test_runs_once(daemon: Daemon) -> None:
    assert start(daemon, "exec sleep 60") == start(daemon, "exec sleep 60")


def test_stop_asks_and_then_kills(daemon: Daemon) -> None:
    start(daemon, "trap '' TERM; echo deaf; while :; do sleep 0.1; done")
    daemon.wait_ready(lambda: daemon.output.read_text() == "deaf\n")
    daemon.stop(seconds=0.2)
    assert daemon.pid is None


def test_another_process_with_its_id_is_not_signalled(daemon: Daemon) -> None:
    pid = start(daemon, "exec sleep 60")
    record = daemon.folder / "run" / "sleeper.pid"
    text = record.read_text()
    record.write_text(f"{pid} {int(text.split()[1]) + 1}\n")
    assert daemon.pid is None
    daemon.stop()
    assert f"{pid} {start_time(pid)}\n" == text
    record.write_text(text)


def test_failure_names_and_shows_the_log(daemon: Daemon) -> None:
    start(daemon, "echo no such port; sleep 0.1")
    with pytest.raises(ClusterError, match=rf"sleeper has died; its log is {daemon.output}\nno such port"):
        daemon.wait_ready(lambda: False)


def test_descendants_come_first(daemon: Daemon) -> None:
    pid = start(daemon, "sleep 60 & echo $!; wait")
    daemon.wait_ready(lambda: bool(daemon.output.read_text()))
    child = int(daemon.output.read_text())
    assert list(descendants(pid)) == [child, pid]
    os.kill(child, 9)
