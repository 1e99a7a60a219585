"""A damaged result is lost and runs again; a flipped bit in predictions is told, and no table shows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from toyproject import Toy


def result_folder(toy: Toy) -> Path:
    return Path(toy.json_of("show", "seed=0", "fold=0")["result"]["folder"])


def write_as_before(file: Path, content: bytes) -> None:
    """Write a file that keeps its time of change, as a failing disk does."""
    status = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("damage", ["empty", "zero bytes", "list", "one byte more"])
def test_a_damaged_result_is_lost(damage: str, done: Toy) -> None:
    file = result_folder(done) / "result.json"
    content = file.read_bytes()
    damaged = {"empty": b"", "zero bytes": b"\0" * len(content), "list": b"[]", "one byte more": content + b" "}
    file.write_bytes(damaged[damage])
    assert done.states() == {"done": 5, "lost": 1}


def test_a_damaged_result_runs_again(done: Toy) -> None:
    (result_folder(done) / "result.json").write_bytes(b"[]")
    launched = done.launch()
    assert launched.returncode == 0, launched.stderr
    assert "toy: 6 jobs, started 1" in launched.stdout
    assert done.states() == {"done": 6}
    assert sum(done.executions().values()) == 7


def test_a_flipped_bit_in_predictions_is_told(done: Toy) -> None:
    file = result_folder(done) / "predictions.val.parquet"
    content = bytearray(file.read_bytes())
    content[60] ^= 4
    write_as_before(file, bytes(content))
    assert done.states() == {"done": 6}
    for table in ("predictions", "oof", "ensemble"):
        ended = done.run_in_process("results", "toy", table)
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (3, "", 1), ended.stderr
        assert f"{file}: cannot be read as Parquet" in ended.stderr
        assert "seedfold doctor STUDY" in ended.stderr
