from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from failing_storage import show_caches
from toyproject import Toy

from seedfold.orchestrator.ledger import claims, past_caches
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.claims import claim_attempt, has_later_claim, latest_attempt_number, may_be_written
from seedfold.orchestrator.ledger.events import EventReader
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.past_caches import longest_cache_s, look_past_caches, read_past_caches
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.results.store import passing_errors

JOB = "ab" + "0" * 62


@pytest.fixture(autouse=True)
def forget_mounts() -> Iterator[None]:
    longest_cache_s.cache_clear()
    yield
    longest_cache_s.cache_clear()


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("ext4", "rw", 0),
        ("lustre", "rw,flock", 0),
        ("nfs4", "rw,hard", 60),
        ("nfs4", "rw,noac", 0),
        ("nfs4", "rw,acregmax=3,acdirmax=120", 120),
        ("cifs", "rw,actimeo=1", 1),
        ("fuse.sshfs", "rw,user_id=0", 60),
        ("some_new_kind", "rw", 60),
    ],
)
def test_how_long_a_file_system_may_show_an_old_state(
    kind: str, options: str, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_caches, "_find_mount", lambda folder: (kind, options.split(",")))
    assert longest_cache_s(Path("/some/root")) == expected


def test_the_mount_of_a_folder_is_found() -> None:
    assert past_caches._find_mount(Path("/proc/self"))[0] == "proc"


def test_a_look_leaves_nothing_behind_and_is_not_refused(tmp_path: Path) -> None:
    look_past_caches(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    look_past_caches(tmp_path / "file")


@pytest.mark.parametrize("start", [0, 1, 4095, 4096, 5000, 3_000_000])
def test_files_are_read_from_any_byte_on(start: int, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    assert read_past_caches(tmp_path / "file", start) == content[start:]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A study ``light`` of one job, which is done."""
    from toyproject import make_toy

    toy = make_toy(tmp_path_factory.mktemp("finished"))
    assert toy.launch("--wait", "seed=0", "fold=0", experiment="light").returncode == 0
    toy.wait_for_workers()
    return toy


def _job(study: StudyFolder) -> str:
    [job] = Ledger(study).plans.jobs
    return job


def _hide_news(patch: pytest.MonkeyPatch, study: StudyFolder) -> None:
    """Show this process an old state: the job has begun, on a machine that is now off, and nothing has happened since.

    Opening a file, and changing its folder, show what is there.
    """
    [events] = study.events_folder.glob("*.jsonl")
    started = events.read_bytes().index(b"\n") + 1
    seen: set[Path] = set()
    real_look, real_exists, real_files = past_caches.look_past_caches, passing_errors.exists, EventReader._files

    def look(folder: Path, after_s: float = 0.0) -> None:
        seen.add(folder)
        real_look(folder, after_s)

    def exists(path: Path) -> bool:
        return path.parent.parent in seen and real_exists(path)

    for module in ("claims", "events", "fresh_views", "submissions"):
        patch.setattr(f"seedfold.orchestrator.ledger.{module}.look_past_caches", look)
    patch.setattr(claims, "exists", exists)
    patch.setattr(EventReader, "_files", lambda reader: [(name, started) for name, _ in real_files(reader)])


def test_what_another_machine_has_done_is_not_called_lost(finished: Toy) -> None:
    study = finished.study("light")
    job = _job(study)
    with pytest.MonkeyPatch.context() as patch:
        _hide_news(patch, study)
        patch.setattr(past_caches, "_find_mount", lambda folder: ("ext4", []))
        longest_cache_s.cache_clear()
        # What would be concluded from what is shown.
        assert JobStates(Root(finished.root), Ledger(study), RetryPolicies.parse({})).of(job).state == "lost"
        show_caches(patch, 60)
        states = JobStates(Root(finished.root), Ledger(study), RetryPolicies.parse({}))
        assert (states.of(job).state, states.of(job).attempt) == ("done", 1)


def test_nothing_is_opened_as_long_as_nothing_is_lost(finished: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(args)

    show_caches(monkeypatch, 60)
    for name in ("can_open", "look_past_caches"):
        monkeypatch.setattr(f"seedfold.orchestrator.ledger.fresh_views.{name}", refuse)
    assert finished.states("light") == {"done": 1}


def test_the_next_attempt_finds_that_the_last_one_has_published(finished: Toy) -> None:
    root, study = Root(finished.root), finished.study("light")
    job = _job(study)
    assert claim_attempt(root, study, job, 2, "token") == "attempt 1 has published its result"
    assert latest_attempt_number(study, job) == 1
    # A result that is known, and is to be replaced, is no reason.
    assert claim_attempt(root, study, job, 2, "token", done_before=1) is None
    study.claim_file(job, 2).unlink()


def test_a_damaged_result_holds_nobody_up(tmp_path: Path) -> None:
    study = Root(tmp_path).study_folder("study")
    folder = study.result_folder(JOB, 1)
    folder.mkdir(parents=True)
    (folder / "result.json").write_bytes(b"")
    assert claim_attempt(Root(tmp_path), study, JOB, 2, "token") is None


def _leave_claim(study: StudyFolder, attempt: int, host: str) -> Path:
    process = {**ProcessIdentity.current().to_dict(), "host": host}
    claim = study.claim_file(JOB, attempt)
    create_once(claim, json.dumps({"process": process, "submission": "token", "task": [0, 0]}))
    return claim


def test_a_claim_waits_once_until_caches_show_what_the_dead_have_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(claims.time, "sleep", pauses.append)
    study = Root(tmp_path).study_folder("study")
    _leave_claim(study, 1, "node7")
    create_once(study.submissions_folder / "token" / "tasks" / "0.0", "{}")
    create_once(study.submissions_folder / "token" / "tasks" / "0.0.over", "{}")
    show_caches(monkeypatch, 60)
    assert claim_attempt(Root(tmp_path), study, JOB, 2, "token") is None
    assert len(pauses) == 1
    assert 30 < pauses[0] <= 60
    study.claim_file(JOB, 2).unlink()
    # What ended long ago is seen.
    for file in (study.submissions_folder / "token" / "tasks").iterdir():
        os.utime(file, (1, 1))
    assert claim_attempt(Root(tmp_path), study, JOB, 2, "token") is None
    assert pauses[1:] == [0.0]


def test_the_claim_of_a_later_attempt_is_found_although_it_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyFolder(tmp_path / "study")
    _leave_claim(study, 1, "node7")
    assert not has_later_claim(study, JOB, 1)
    _leave_claim(study, 2, "node8")
    monkeypatch.setattr(claims, "_claimed_attempts", lambda study, job: iter([1]))
    assert has_later_claim(study, JOB, 1)


def test_the_staging_folder_of_an_attempt_that_is_only_silent_is_kept(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "study")
    tasks = study.submissions_folder / "token" / "tasks"
    _leave_claim(study, 1, "node7")
    create_once(tasks / "0.0", "{}")
    os.utime(tasks / "0.0", (1, 1))
    staging = study.job_folder(JOB) / "staging.1"
    assert may_be_written(staging)
    # Its worker, or the scheduler, has said that it has ended.
    create_once(tasks / "0.0.over", "{}")
    assert not may_be_written(staging)
    assert not may_be_written(staging.with_name("staging.2"))
