"""Copies of published files on the disk of the machine: made once, checked, and removed when nobody uses them."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seedfold.jobs.work import DataFailure
from seedfold.results.store.published import publish
from seedfold.trainers.data.node_copies import KEPT_S, copy_to_node

RECORD = {
    "id": "a" * 64,
    "study": "s",
    "stage": "preprocess",
    "axes": {},
    "attempt": 1,
    "run": "toy.run",
    "config": {},
    "parents": {},
    "reads": {},
    "code": "ee",
    "provenance": {},
    "started": 1.0,
    "ended": 2.0,
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A file that a job has published."""
    staging = tmp_path / "staging"
    staging.mkdir()
    (staging / "images.npy").write_bytes(bytes(range(256)) * 50)
    publish(staging, tmp_path / "store" / "x", RECORD)
    return tmp_path / "store" / "x" / "images.npy"


def copies(scratch: Path) -> list[Path]:
    return [file for file in scratch.glob("seedfold-*/*") if file.suffix != ".lock"]


def test_jobs_at_the_same_time_share_one_copy(published: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: copy_to_node(published, str(scratch)), range(8)))
    assert list(found) == copies(scratch)
    assert found.pop().read_bytes() == published.read_bytes()
    assert copy_to_node(published, None) == published


def test_a_copy_that_was_cut_is_made_again(published: Path, tmp_path: Path) -> None:
    copy = copy_to_node(published, str(tmp_path))
    os.truncate(copy, 5)
    assert copy_to_node(published, str(tmp_path)) == copy
    assert copy.read_bytes() == published.read_bytes()


def test_content_that_was_not_published_is_refused(published: Path, tmp_path: Path) -> None:
    published.write_bytes(bytes(256 * 50))
    with pytest.raises(DataFailure, match="is not what its job has published"):
        copy_to_node(published, str(tmp_path))
    assert copies(tmp_path) == []


@pytest.mark.parametrize("trouble", ["no folder", "no room"])
def test_without_a_usable_folder_the_file_is_read_where_it_is(
    published: Path,
    tmp_path: Path,
    trouble: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scratch = tmp_path / "file"
    if trouble == "no folder":
        scratch.touch()
    else:
        nothing_free = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda path: nothing_free)
    with caplog.at_level(logging.WARNING):
        assert copy_to_node(published, str(scratch)) == published
    assert "is read where it is" in caplog.text


def test_copies_that_nobody_has_used_for_long_go_when_another_is_made(published: Path, tmp_path: Path) -> None:
    used = copy_to_node(published, str(tmp_path))
    old, young = used.with_name("old.npy"), used.with_name("young.npy")
    for file, age_s in ((old, KEPT_S + 60), (young, KEPT_S - 60), (used, KEPT_S + 60)):
        file.touch()
        os.utime(file, (0, file.stat().st_mtime - age_s))
    assert copy_to_node(published, str(tmp_path)) == used
    assert old.exists(), "nothing was copied"
    used.unlink()
    copy_to_node(published, str(tmp_path))
    assert sorted(copies(tmp_path)) == sorted([used, young])
