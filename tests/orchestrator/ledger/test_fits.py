"""Jobs that share a fit: one of them trains, and the others wait until there is something to predict from."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.claims import claim_attempt
from seedfold.orchestrator.ledger.fits import FitClaim, is_fit_at_work
from seedfold.orchestrator.ledger.layout import Root

FIT = "ab" + "0" * 62
JOBS = [
    JobDescription(f"{number:064d}", "s", "train", {"tta": number}, {}, (), Resources(), "toy.run", FIT)
    for number in range(4)
]
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    for name in ("one", "two"):
        (tmp_path / name / "plans").mkdir(parents=True)
    return Root(tmp_path)


def take(root: Root, study: str, job: JobDescription, attempt: int = 1) -> str | None:
    folder = root.study_folder(study)
    refusal = claim_attempt(root, folder, job.id, attempt, "token")
    return refusal or FitClaim(root, folder, job, attempt).take(folder.claim_file(job.id, attempt))


def claim(root: Root, study: str, job: JobDescription, attempt: int = 1) -> FitClaim:
    return FitClaim(root, root.study_folder(study), job, attempt)


def finish(root: Root, study: str) -> None:
    folder = root.study_folder(study).job_folder(FIT)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fit.json").write_text("{}")


def test_the_second_steps_back_until_the_fit_is_finished(root: Root) -> None:
    one = root.study_folder("one")
    assert take(root, "one", JOBS[0]) is None
    assert not is_fit_at_work(one, JOBS[0])
    assert is_fit_at_work(one, JOBS[1])
    for study in ("one", "two"):
        assert take(root, study, JOBS[1]) == f"another job trains fit {FIT[:12]} in study one"
        assert not root.study_folder(study).claim_file(JOBS[1].id, 1).exists()
    finish(root, "one")
    assert not is_fit_at_work(one, JOBS[1])
    assert take(root, "one", JOBS[1]) is None


def test_who_has_left_the_fit_holds_nobody_up(root: Root) -> None:
    assert take(root, "one", JOBS[0]) is None
    claim(root, "one", JOBS[0]).release()
    assert take(root, "one", JOBS[1]) is None


def test_a_job_that_is_its_own_fit_counts(root: Root) -> None:
    """It has no key that only prediction reads, so that what it trains has its id."""
    bare = replace(JOBS[0], id=FIT)
    assert take(root, "one", bare) is None
    assert take(root, "one", JOBS[1]) is not None
    assert take(root, "two", bare) is not None


def test_and_waits_for_others(root: Root) -> None:
    assert take(root, "one", JOBS[1]) is None
    assert take(root, "one", replace(JOBS[0], id=FIT)) is not None


def test_jobs_that_keep_no_fit_wait_for_the_first_only(root: Root) -> None:
    assert take(root, "one", JOBS[0]) is None
    assert take(root, "one", JOBS[1]) is not None
    claim(root, "one", JOBS[0]).record_published()
    assert take(root, "one", JOBS[1]) is None
    assert take(root, "one", JOBS[2]) is None


def test_what_a_finished_fit_left_is_removed_when_nobody_uses_it(root: Root) -> None:
    finish(root, "one")
    assert take(root, "one", JOBS[0]) is None
    assert not claim(root, "one", JOBS[0]).is_shared()
    assert take(root, "two", JOBS[1]) is None
    assert claim(root, "one", JOBS[0]).is_shared()
    claim(root, "two", JOBS[1]).release()
    assert not claim(root, "one", JOBS[0]).is_shared()


def _train(root: Root, study: str, job: JobDescription, start: Barrier, end: Barrier, training: Path) -> None:
    start.wait()
    if take(root, study, job) is None:
        (training / job.id).touch()
    end.wait()


@pytest.mark.parametrize("studies", [["one"] * 4, ["one", "two", "one", "two"]])
@pytest.mark.parametrize("turn", range(3))
def test_of_those_that_begin_at_the_same_moment_one_trains_at_most(
    root: Root, tmp_path: Path, studies: list[str], turn: int
) -> None:
    training = tmp_path / f"training-{turn}"
    training.mkdir()
    start, end = FORK.Barrier(len(JOBS)), FORK.Barrier(len(JOBS))
    racers = [
        FORK.Process(target=_train, args=(root, study, job, start, end, training))
        for study, job in zip(studies, JOBS, strict=True)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(list(training.iterdir())) <= 1
