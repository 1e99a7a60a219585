"""Plans that are written at the same moment, by whomever."""

from __future__ import annotations

from pathlib import Path

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.records import decode_jobs
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import PlanHeader, Plans, read_plan_header, write_plan


def _plan(study: StudyFolder, job: str, number: int) -> Path:
    description = JobDescription(job * 64, "s", "train", {"seed": 0}, {}, (), Resources(), "toy.run", job * 64)
    path = write_plan(study, PlanHeader.create([job], [], {}, study.path), [description])
    return path.rename(path.with_name(f"{number:020d}-1-abc.jsonl"))


def test_every_reader_finds_the_same_jobs_current_whichever_plan_it_saw_first(tmp_path: Path) -> None:
    study = Root(tmp_path).study_folder("s")
    _plan(study, "b", 200)
    early = Plans(study)
    _plan(study, "a", 100)
    assert early.refresh()
    late = Plans(study)
    for reader in (early, late):
        assert reader.current_ids() == ["b" * 64]
        assert reader.superseded_ids() == ["a" * 64]
        assert reader.header is not None
        assert reader.header.overrides == ("b",)
    assert not early.refresh()


def test_code_of_any_version_finds_what_a_plan_names(tmp_path: Path) -> None:
    """A task that waits in a queue reads it with older code. Axis values are the user's own."""
    new, old = "seedfold.trainers.learning.losses.CrossEntropy", "seedfold.trainers.losses.CrossEntropy"
    config = {"loss": {"_target_": new}, "others": [new, "mine.Loss"]}
    run, axes = "seedfold.trainers.stages.fit_predict.run", {"loss._target_": new}
    study = Root(tmp_path).study_folder("s")
    job = JobDescription("a" * 64, "s", "train", axes, config, (), Resources(), run, "a" * 64)
    plan = write_plan(study, PlanHeader.create([], [], {}, study.path), [job])
    [on_disk] = decode_jobs(plan.read_text().splitlines()[1:])
    assert on_disk.run == "seedfold.trainers.fit_predict.run"
    assert on_disk.config == {"loss": {"_target_": old}, "others": [old, "mine.Loss"]}
    [read] = Plans(study).jobs.values()
    assert read == job
    assert on_disk.address == read.address


def test_a_damaged_plan_is_named(tmp_path: Path) -> None:
    study = Root(tmp_path).study_folder("s")
    path = _plan(study, "a", 100)
    path.write_text(path.read_text()[:-20] + "\n")
    with pytest.raises(SeedfoldError, match=path.name):
        Plans(study)


def test_a_user_without_a_name_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 2001")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert read_plan_header(_plan(Root(tmp_path).study_folder("s"), "a", 100)).user.isdigit()
