"""A root that several people work in, and what is found in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from seedfold.jobs.errors import UnreachableError, UsageError
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.layout import ROOT_MARK, Root, find_root
from seedfold.results.store import passing_errors


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(("mode", "writable"), [(0o2775, True), (0o755, False)])
def test_what_is_created_is_open_to_whom_the_root_is(tmp_path: Path, mode: int, writable: bool) -> None:
    tmp_path.chmod(mode)
    root = Root(tmp_path)
    root.mark_as_root()
    claim = root.study_folder("digits").claim_file("ab" * 32, 1)
    create_once(claim, "{}")
    for created in (claim, claim.parent, claim.parent.parent):
        assert bool(created.stat().st_mode & 0o020) == writable
        assert not created.stat().st_mode & 0o002


def test_a_mark_that_somebody_else_set_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ROOT_MARK).touch()
    os.utime(tmp_path / ROOT_MARK, (1, 1))
    Root(tmp_path).mark_as_root()
    assert (tmp_path / ROOT_MARK).stat().st_mtime == 1


def test_links_to_studies_of_the_root_are_no_studies_of_their_own(tmp_path: Path) -> None:
    root, archive = Root(tmp_path / "runs"), tmp_path / "archive" / "old"
    for folder in (root.path / "digits", archive):
        (folder / "plans").mkdir(parents=True)
        (folder / "plans" / "1-1-1.jsonl").touch()
    (root.path / "latest").symlink_to("digits")
    (root.path / "old").symlink_to(archive)
    assert [study.name for study in root.study_folders()] == ["digits", "old"]
    assert root.existing_study("latest") == root.existing_study("digits")
    assert root.existing_study("old").path == root.path / "old"


def test_a_study_whose_launch_did_not_come_to_its_plan_has_no_jobs_yet(tmp_path: Path) -> None:
    plans = tmp_path / "digits" / "plans"
    plans.mkdir(parents=True)
    (plans / ".1-1-1.jsonl.0123456789ab").touch()
    with pytest.raises(UsageError, match="no jobs yet"):
        Root(tmp_path).existing_study("digits")


def test_a_file_system_that_fails_for_a_moment_is_no_wrong_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, errors = Path.lstat, [OSError(errno.ESTALE, "Stale file handle")]

    def look_with_errors(path: Path) -> os.stat_result:
        if errors and path == tmp_path:
            raise errors.pop()
        return look(path)

    monkeypatch.setattr(Path, "lstat", look_with_errors)
    assert find_root(tmp_path).path == tmp_path
    assert errors == []
    monkeypatch.setattr(passing_errors._patience, "left_s", 0.0)
    errors.append(OSError(errno.ESTALE, "Stale file handle"))
    with pytest.raises(UnreachableError, match=r"does not answer \(Stale file handle\)"):
        find_root(tmp_path)
