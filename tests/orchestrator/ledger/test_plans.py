"""Plans that are written at the same moment, by whomever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.description_lines import decode_jobs
from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import PlanHeader, Plans, read_plan_header, study_request, write_plan


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
    [on_disk] = decode_jobs(plan.read_text().splitlines()[1:-1])
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


def _launch(study: StudyFolder, seeds: str, *overrides: str, whole: bool = True, run: str = "toy.run") -> None:
    """Write a plan of jobs with one-letter ids, whose seeds are the ids' numbers."""
    jobs = [
        JobDescription(job * 64, "s", "train", {"seed": int(job)}, {}, (), Resources(), run, job * 64) for job in seeds
    ]
    request = study_request(overrides) if whole else None
    write_plan(study, PlanHeader.create(overrides, [], {}, study.path, request), jobs)


def _current(study: StudyFolder) -> tuple[str, str]:
    plans = Plans(study)
    assert not plans.superseded
    return "".join(job[0] for job in plans.current_ids()), "".join(job.id[0] for job in plans.removed_jobs.values())


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return Root(tmp_path).study_folder("s")


def test_a_point_taken_out_of_the_file_is_removed_and_comes_back_with_it(study: StudyFolder) -> None:
    _launch(study, "012", "experiment=s")
    _launch(study, "01", "experiment=s")
    assert _current(study) == ("01", "2")
    _launch(study, "012", "experiment=s")
    assert _current(study) == ("012", "")


def test_points_of_another_request_are_left_alone(study: StudyFolder) -> None:
    _launch(study, "012", "experiment=s")
    _launch(study, "5", "experiment=s", "seed=5")
    _launch(study, "01", "experiment=s")
    assert _current(study) == ("015", "2")
    _launch(study, "0", "experiment=s", "seed=0")
    assert _current(study) == ("015", "2")


def test_how_jobs_are_done_is_no_part_of_the_request(study: StudyFolder) -> None:
    _launch(study, "012", "experiment=s")
    _launch(study, "01", "cluster=slurm", "experiment=s", "resources.memory=8GB", "++cluster.partition=gpu")
    assert _current(study) == ("01", "2")


@pytest.mark.parametrize(
    ("override", "counts"),
    [("+seed=1,2", True), ("hydra.sweeper.params.x=1", True), ("hydra/launcher=seedfold_slurm", False),
     ("hydra.launcher.wait=false", False), ("~paths.data", False), ("loss@train.loss=dice", True)],
)  # fmt: skip
def test_which_overrides_say_which_jobs_there_are(override: str, counts: bool) -> None:
    assert study_request([override]) == ((override,) if counts else ())


def test_plans_that_only_add_jobs_remove_none(study: StudyFolder) -> None:
    # As resume, rendered scripts, and a sweeper that asks for its points one after the other.
    _launch(study, "012", "experiment=s")
    _launch(study, "3", "experiment=s", whole=False)
    _launch(study, "4", "experiment=s", run="seedfold.results.imports.run.run")
    assert _current(study) == ("01234", "")


def test_a_plan_of_an_earlier_version_is_the_whole_of_what_it_asked_for(study: StudyFolder) -> None:
    _launch(study, "012", "experiment=s")
    [path] = study.plans_folder.glob("*.jsonl")
    header, *jobs = path.read_text().splitlines(keepends=True)
    record = json.loads(header)
    del record["request"]
    path.write_text("".join([json.dumps(record) + "\n", *jobs]))
    _launch(study, "01", "experiment=s")
    assert _current(study) == ("01", "2")
