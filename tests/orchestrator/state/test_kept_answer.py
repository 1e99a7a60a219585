"""What is kept of the answer of ``seedfold status``: it never says anything else than a fresh reading."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.cli import status
from seedfold.orchestrator.code.code_records import record_code
from seedfold.orchestrator.code.data_reads import ReadRecorder
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import done_event_details
from seedfold.orchestrator.ledger.plans import PlanHeader, Plans, write_plan
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.state import kept_answer
from seedfold.results.store.published import publish

JOBS = 5
TABLE = "sample_id\n0\n"
DAY_S = 24 * 3600


def _job(study: StudyFolder, stage: str, seed: int) -> JobDescription:
    config = {"seed": seed, "paths": {"data": str(study.path.parent)}}
    name = f"{seed:02d}{len(stage):02d}".ljust(64, "0")
    return JobDescription(name, study.name, stage, {"seed": seed}, config, (), Resources(), "builtins.print")


def _plan(study: StudyFolder, *jobs: JobDescription) -> None:
    write_plan(study, PlanHeader.create([], [], {}, study.path, ()), jobs)


def _finish(study: StudyFolder, job: JobDescription, code: str, events: EventWriter, ended: float) -> None:
    reads = ReadRecorder(job.config)
    reads(study.path.parent / "table.csv")
    staging, final = study.path / "staging", study.result_folder(job.id, 1)
    staging.mkdir()
    (staging / "answer.txt").write_text(job.id)
    described = {"id": job.id, "study": job.study, "stage": job.stage, "axes": job.axes, "run": job.run, "config": {}}
    facts = {"attempt": 1, "parents": {}, "reads": reads.reads, "code": code, "provenance": {"host": "here"}}
    result = publish(staging, final, {**described, **facts, "started": ended - 1, "ended": ended})
    with patch("seedfold.orchestrator.ledger.events.time", wraps=time) as clock:
        clock.time.return_value = ended
        events.append("done", **done_event_details(job.id, 1, result, final))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a study of two stages, some of whose jobs were done days ago."""
    root = Root(tmp_path_factory.mktemp("answers") / "runs")
    study = root.study_folder("rested")
    jobs = [_job(study, stage, seed) for stage in ("train", "test") for seed in range(JOBS)]
    with patch("os.fsync"):
        root.mark_as_root()
        (root.path / "table.csv").write_text(TABLE)
        _plan(study, *jobs)
        code, events = record_code(study, "builtins.print"), EventWriter(study.events_folder)
        for number, job in enumerate(jobs):
            _finish(study, job, code, events, time.time() - 5 * DAY_S * (number % 2) - number)
    return root.path


@pytest.fixture(autouse=True)
def kept_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the answer however small the study is, and however young its files are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kept_answer, "_WORTH_KEEPING_JOBS", 1)
    monkeypatch.setattr(kept_answer, "_SETTLED_S", -10.0)


def _copy(finished: Path, to: Path) -> StudyFolder:
    """A copy whose files are as old as those that they are of."""
    shutil.copytree(finished, to)
    for file in to.rglob("*"):
        original = (finished / file.relative_to(to)).stat()
        os.utime(file, ns=(original.st_atime_ns, original.st_mtime_ns))
    return Root(to).study_folder("rested")


def _status(study: StudyFolder, *options: str) -> str:
    answer = CliRunner().invoke(status.command, ["rested", "--root", str(study.path.parent), *options])
    assert answer.exit_code == 0, answer.output
    # A minute may pass between two looks.
    return re.sub(r"\bat \d\d:\d\d", "at …", answer.output)


def _fresh(study: StudyFolder, *options: str) -> str:
    with patch.object(status, "is_worth_keeping", lambda folder: False):
        return _status(study, *options)


def _file(study: StudyFolder) -> Path:
    return study.path / "cache" / "ledger" / "answer"


def _append(event_kind: str, /, **details: Any) -> Callable[[StudyFolder, str], None]:
    return lambda study, job: (
        EventWriter(study.events_folder).append(event_kind, **{"job": job, "n": 2, **details}) and None
    )


def _begin_again(study: StudyFolder, job: str) -> None:
    Submission.create(study, [job], {"cluster": {}, "failures": {}}, study.path, rerun_attempts={job: 1})


def _change_result(study: StudyFolder, job: str) -> None:
    with (study.result_folder(job, 1) / "answer.txt").open("a") as file:
        file.write("!")


def _remove_result(study: StudyFolder, job: str) -> None:
    if study.result_folder(job, 1).exists():
        study.result_folder(job, 1).rename(study.path / f"elsewhere-{os.urandom(4).hex()}")


def _change_data(study: StudyFolder, job: str) -> None:
    last_job = Plans(study).last_job()
    assert last_job is not None
    with (Path(last_job.config["paths"]["data"]) / "table.csv").open("a") as file:
        file.write("1\n")


def _add_job(study: StudyFolder, job: str) -> None:
    _plan(study, *(_job(study, stage, seed) for stage in ("train", "test") for seed in range(JOBS + 1)))


def _leave_job_out(study: StudyFolder, job: str) -> None:
    _plan(study, *(_job(study, stage, seed) for stage in ("train", "test") for seed in range(JOBS - 1)))


def _damage_events(study: StudyFolder, job: str) -> None:
    next(study.events_folder.iterdir()).open("a").write('{"e": 5}\n')


def _cut_kept(study: StudyFolder, job: str) -> None:
    if _file(study).exists():
        os.truncate(_file(study), int(job[:2]) * _file(study).stat().st_size // (JOBS + 1))


DISTURBANCES = {
    "nothing": lambda study, job: None,
    "failed": _append("failed", reason="no", kind="error", digest="d", seconds=1.0),
    "cancelled": _append("cancelled"),
    "throttled": _append("throttled", limit=2, jobs={}),
    "held": _append("held"),
    "begun": _begin_again,
    "result changed": _change_result,
    "result removed": _remove_result,
    "data changed": _change_data,
    "job added": _add_job,
    "job left out": _leave_job_out,
    "events damaged": _damage_events,
    "cache cut": _cut_kept,
}


@pytest.mark.slow
@settings(deadline=None, max_examples=12)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(sorted(DISTURBANCES)), st.integers(0, JOBS - 1), st.sampled_from(["train", "test"])),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_happens_the_answer_is_that_of_a_fresh_reading(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    study = _copy(finished, tmp_path_factory.mktemp("answer") / "runs")
    _status(study)
    assert _file(study).exists()
    for what, seed, stage in steps:
        DISTURBANCES[what](study, _job(study, stage, seed).id)
        expected = _fresh(study), json.loads(_fresh(study, "--json"))
        for _ in range(2):
            # The second time, what the first has kept is read.
            assert (_status(study), json.loads(_status(study, "--json"))) == expected


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often a study was read."""
    found: list[str] = []
    original = status.Overview

    def overview(root: Root, study: str, **options: Any) -> Any:
        found.append(study)
        return original(root, study, **options)

    monkeypatch.setattr(status, "Overview", overview)
    return found


def test_a_study_at_rest_is_not_read_again_and_data_and_code_are_looked_at(
    finished: Path, tmp_path: Path, readings: list[str]
) -> None:
    # Copies read the data of their original, which a test before this one may have changed.
    (finished / "table.csv").write_text(TABLE)
    study = _copy(finished, tmp_path / "runs")
    first = _status(study)
    assert first.splitlines()[0] == "rested: 10 jobs, 10 done"
    assert (_status(study), readings) == (first, ["rested"])
    _change_data(study, "")
    changed = _status(study)
    assert "10 of 10 done jobs read data that has changed since" in changed
    assert readings == ["rested"]
    assert _fresh(study) == changed


def test_an_answer_about_files_that_were_changed_a_moment_ago_is_not_kept(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answer, "_SETTLED_S", 60.0)
    study = _copy(finished, tmp_path / "runs")
    _status(study)
    assert not _file(study).exists()
