"""The MPS daemon of a worker, with a program in its place that takes the same commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toyproject import wait_until

from seedfold.orchestrator.worker.mps import MpsDaemon, end_abandoned

UUIDS = {"0": "GPU-a", "1": "GPU-b"}
PROGRAM = """#!/bin/sh
# As NVIDIA's program: -d starts a daemon; else commands come from standard input.
pipe=$CUDA_MPS_PIPE_DIRECTORY
echo "$CUDA_VISIBLE_DEVICES: $*" >> "$CUDA_MPS_LOG_DIRECTORY/../../calls"
if [ "$1" = -d ]; then
    [ -e "$pipe/control" ] && exit 1
    sleep 300 & echo $! > "$pipe/control"
    exit 0
fi
while read -r command; do
    echo "$command" >> "$CUDA_MPS_LOG_DIRECTORY/../../calls"
    case $command in
        get_server_list) echo 4711 ;;
        quit) kill "$(cat "$pipe/control")"; rm "$pipe/control" ;;
    esac
done
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of all daemons of this user; none of them outlives the test."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "nvidia-cuda-mps-control"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("seedfold.orchestrator.worker.mps._COMMON_PIPE", tmp_path / "nvidia-mps")
    yield tmp_path / f"seedfold-{os.getuid()}" / "mps"
    end_abandoned()


def daemons(folder: Path) -> list[int]:
    return [int(file.read_text()) for file in folder.glob("*/pipe/control")]


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def is_alive(pid: int) -> bool:
    return Path("/proc", str(pid)).exists()


def test_a_daemon_serves_the_jobs_of_its_worker_and_ends_with_it(folder: Path) -> None:
    daemon = MpsDaemon.start(UUIDS)
    assert daemon is not None
    [pid] = daemons(folder)
    assert is_alive(pid)
    variables = daemon.environment_variables(["1"])
    assert variables["CUDA_VISIBLE_DEVICES"] == "GPU-b"
    assert Path(variables["CUDA_MPS_PIPE_DIRECTORY"], "control").exists()
    daemon.let_go(12)
    # Another worker has one of its own, and leaves this one alone.
    other = MpsDaemon.start(UUIDS)
    assert other is not None
    assert is_alive(pid)
    other.close()
    assert is_alive(pid)
    daemon.close()
    wait_until(lambda: not is_alive(pid))
    assert [one.name for one in folder.iterdir()] == ["calls"]
    assert calls(folder)[:4] == ["GPU-a,GPU-b: -d", ": ", "get_server_list", ": "]
    assert "terminate_client 4711 12" in calls(folder)


def test_the_daemon_of_a_worker_that_was_killed_is_ended_by_the_next_one(folder: Path) -> None:
    code = (
        "from seedfold.orchestrator.worker import mps\n"
        f"mps._COMMON_PIPE = mps.Path({str(folder.parent / 'nowhere')!r})\n"
        f"assert mps.MpsDaemon.start({UUIDS!r})\n"
        "print('ready', flush=True); input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        [pid] = daemons(folder)
        end_abandoned()
        assert is_alive(pid)
        worker.send_signal(signal.SIGKILL)
    assert is_alive(pid)
    end_abandoned()
    wait_until(lambda: not is_alive(pid))
    assert daemons(folder) == []


def test_where_there_is_a_daemon_already_none_is_started(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "nvidia-mps"
    theirs.mkdir()
    (theirs / "control").touch()
    assert MpsDaemon.start(UUIDS) is None
    assert "there is a MPS daemon already, in" in capsys.readouterr().out
    assert MpsDaemon.start({}) is None
    assert "does not tell the UUIDs" in capsys.readouterr().out
    monkeypatch.setenv("PATH", "/nowhere")
    assert MpsDaemon.start(UUIDS) is None
    assert "nvidia-cuda-mps-control is not installed" in capsys.readouterr().out
    assert daemons(folder) == []
    assert (theirs / "control").exists()


def test_a_daemon_that_does_not_start_stops_nobody(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "programs" / "nvidia-cuda-mps-control").write_text("#!/bin/sh\nexit 1\n")
    assert MpsDaemon.start(UUIDS) is None
    assert list(folder.iterdir()) == []
