"""Outputs go to what a person named: devices, pipes and links stay what they are."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from toyproject import SEEDFOLD, Toy

TABLE = ("results", "toy", "runs", "--format", "csv", "--out")
TEXT_TABLE = ("results", "toy", "runs", "--format", "markdown", "--out")
REPORT = ("report", "toy", "--out")
COMPARISON = ("compare", "seed=0 fold=0", "seed=1 fold=0", "--format", "csv", "--out")
PLAN = ("plan", "-cd", "conf", "experiment=toy", "--jobs")
OUTPUTS = [TABLE, TEXT_TABLE, REPORT, COMPARISON, PLAN]
NAMES = ["table", "text", "report", "comparison", "plan"]


@pytest.fixture
def null(tmp_path: Path) -> Path:
    """A device like /dev/null, which a mistake may destroy."""
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.read_bytes()
    except OSError:
        pytest.skip("devices cannot be made here")
    return device


@pytest.mark.parametrize("output", OUTPUTS, ids=NAMES)
def test_a_device_stays_a_device(output: tuple[str, ...], finished: Toy, null: Path) -> None:
    finished.output_of(*output, str(null))
    assert stat.S_ISCHR(null.stat().st_mode)


@pytest.mark.parametrize("output", OUTPUTS, ids=NAMES)
def test_a_pipe_is_written_to(output: tuple[str, ...], finished: Toy, tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    finished.output_of(*output, str(pipe))
    reader.join(60)
    assert len(read[0]) > 100
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("output", OUTPUTS, ids=NAMES)
def test_the_file_that_a_link_names_is_replaced(output: tuple[str, ...], finished: Toy, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    finished.output_of(*output, str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").stat().st_size > 100


def test_a_full_device_is_one_line(finished: Toy) -> None:
    ended = finished.run_in_process(*TABLE, "/dev/full")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("seedfold: /dev/full: No space left on device")


@pytest.mark.slow
def test_standard_output_gets_the_table_and_nothing_else(finished: Toy, tmp_path: Path) -> None:
    written = {}
    for name, redirection in {"file": f"> {tmp_path / 'file'}", "pipe": f"| cat > {tmp_path / 'pipe'}"}.items():
        command = f"{SEEDFOLD} {' '.join(TABLE)} /dev/stdout {redirection}"
        ended = subprocess.run(
            ["bash", "-c", command], cwd=finished.folder, env=finished.environment, capture_output=True, check=True
        )
        assert ended.stderr == b"seedfold: wrote 6 rows to /dev/stdout\n"
        written[name] = (tmp_path / name).read_text()
    assert written["file"] == written["pipe"] == finished.output_of("results", "toy", "runs", "--format", "csv")


@pytest.mark.parametrize("output", OUTPUTS, ids=NAMES)
@pytest.mark.parametrize("place", ["conf/experiment/toy.yaml/inside", "x" * 300, "/dev/null/inside"])
def test_a_name_that_no_file_can_have_is_refused(output: tuple[str, ...], place: str, finished: Toy) -> None:
    ended = finished.run_in_process(*output, place)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert "name another file" in ended.stderr
