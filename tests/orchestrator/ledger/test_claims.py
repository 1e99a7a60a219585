from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.claims import claim_attempt, has_live_claim, latest_attempt_number
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission

JOB = "ab" + "0" * 62
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    for name in ("one", "two"):
        (tmp_path / name / "plans").mkdir(parents=True)
    return Root(tmp_path)


def _claim_and_stay(root: Root, study: str, attempt: int, start: Barrier, end: Barrier, claimed: Path) -> None:
    start.wait()
    if claim_attempt(root, root.study_folder(study), JOB, attempt, "token") is None:
        claimed.mkdir(exist_ok=True)
        (claimed / str(ProcessIdentity.current().pid)).touch()
    end.wait()


def _race(root: Root, studies: list[str], claimed: Path) -> int:
    start, end = FORK.Barrier(len(studies)), FORK.Barrier(len(studies))
    racers = [FORK.Process(target=_claim_and_stay, args=(root, study, 1, start, end, claimed)) for study in studies]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    return len(list(claimed.iterdir())) if claimed.exists() else 0


def test_one_of_many_processes_claims(root: Root, tmp_path: Path) -> None:
    assert _race(root, ["one"] * 8, tmp_path / "claimed") == 1


@pytest.mark.parametrize("turn", range(5))
def test_equal_jobs_of_two_studies_are_never_claimed_twice(root: Root, tmp_path: Path, turn: int) -> None:
    assert _race(root, ["one", "two"] * 3, tmp_path / f"claimed-{turn}") <= 1


def test_a_claim_is_alive_as_long_as_its_process(root: Root) -> None:
    study = root.study_folder("one")
    assert not has_live_claim(study, JOB)
    assert claim_attempt(root, study, JOB, 1, "token") is None
    assert has_live_claim(study, JOB)
    assert latest_attempt_number(study, JOB) == 1
    assert claim_attempt(root, study, JOB, 1, "token") == "attempt 1 was begun by another process"
    assert claim_attempt(root, root.study_folder("two"), JOB, 1, "token") == "the job is running in study one"
    assert latest_attempt_number(root.study_folder("two"), JOB) == 0


@pytest.mark.parametrize("is_done", [False, True])
def test_who_claims_a_job_that_was_begun_elsewhere_asks_once_more_whether_it_is_done(root: Root, is_done: bool) -> None:
    ended = FORK.Process(target=claim_attempt, args=(root, root.study_folder("one"), JOB, 1, "token"))
    ended.start()
    ended.join()
    asked: list[str] = []

    def note(study: StudyFolder) -> bool:
        asked.append(study.name)
        # Nobody begins the job any more in a study that is asked now.
        assert claim_attempt(root, root.study_folder("one"), JOB, 2, "token") == "the job is running in study two"
        return is_done

    refusal = claim_attempt(root, root.study_folder("two"), JOB, 1, "token", is_done_in=note)
    assert (asked, refusal) == (["one"], "the job is done in study one" if is_done else None)
    assert has_live_claim(root.study_folder("two"), JOB) == (not is_done)
    assert claim_attempt(root, root.study_folder("two"), JOB.replace("b", "c"), 1, "token", is_done_in=note) is None


def test_a_claim_of_the_dead_holds_nobody_up(root: Root) -> None:
    study = root.study_folder("one")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity.of_pid(child.pid)
    create_once(study.claim_file(JOB, 1), json.dumps({"process": identity.to_dict(), "submission": "x"}))
    assert has_live_claim(study, JOB)
    child.kill()
    child.wait()
    assert not has_live_claim(study, JOB)
    assert claim_attempt(root, root.study_folder("two"), JOB, 1, "token") is None


def test_a_claim_on_another_host_lives_as_long_as_its_submission_beats(root: Root) -> None:
    study = root.study_folder("one")
    elsewhere = replace(ProcessIdentity.current(), host="node7")
    folder = study.submissions_folder / "token"
    settings = {"cluster": {"silent_s": 900}}
    intent = {"jobs": [], "rerun": [], "settings": settings, "code_folder": ".", "launcher": elsewhere.to_dict()}
    intent |= {"array": None, "created": 0.0}
    create_once(folder / "intent.json", json.dumps(intent))
    claimed = {"process": elsewhere.to_dict(), "submission": "token", "task": [0, 0]}
    create_once(study.claim_file(JOB, 1), json.dumps(claimed))
    assert has_live_claim(study, JOB)
    Submission.read(folder).tasks.record_end(0, 0)
    assert not has_live_claim(study, JOB)


def test_an_attempt_that_left_no_claim_hides_no_later_one(root: Root) -> None:
    study = root.study_folder("one")
    assert claim_attempt(root, study, JOB, 2, "token") is None
    assert has_live_claim(study, JOB)
    assert latest_attempt_number(study, JOB) == 2
    assert claim_attempt(root, root.study_folder("two"), JOB, 1, "token") == "the job is running in study one"


@pytest.mark.parametrize("number", [1, 3])
def test_no_attempt_begins_beside_one_that_lives(root: Root, number: int) -> None:
    study = root.study_folder("one")
    assert claim_attempt(root, study, JOB, 2, "token") is None
    assert claim_attempt(root, study, JOB, number, "token") is not None
    assert latest_attempt_number(study, JOB) == 2


def test_attempts_that_race_under_different_numbers_are_never_both_at_work(root: Root, tmp_path: Path) -> None:
    for turn in range(5):
        claimed, start, end = tmp_path / f"claimed-{turn}", FORK.Barrier(4), FORK.Barrier(4)
        numbers = [10 * turn + number for number in (1, 2, 3, 4)]
        racers = [
            FORK.Process(target=_claim_and_stay, args=(root, "one", number, start, end, claimed)) for number in numbers
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert not claimed.exists() or len(list(claimed.iterdir())) == 1
