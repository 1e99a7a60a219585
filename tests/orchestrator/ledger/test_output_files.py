from __future__ import annotations

from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.output_files import copy_outputs, output_folder


def job(letter: str, axes: dict[str, Any]) -> JobDescription:
    return JobDescription(letter * 64, "study", "blend", axes, {}, (), Resources(), "run", letter * 64)


def test_a_stage_of_one_job_has_a_folder_and_one_of_several_a_folder_each(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "study")
    assert output_folder(study, job("a", {}), 3) == tmp_path / "study" / "outputs" / "blend"
    several = [output_folder(study, job(letter, {"table": f"x/../{'y' * 200}", "seed": 3}), 2) for letter in "ab"]
    assert output_folder(study, job("a", {"seed": 3}), 1) == tmp_path / "study" / "outputs" / "blend"
    assert several[0] != several[1]
    for folder in several:
        assert folder.parent == tmp_path / "study" / "outputs" / "blend"
        folder.mkdir(parents=True)


def test_files_are_copied_with_their_folders_and_take_the_place_of_older_ones(tmp_path: Path) -> None:
    files, there = tmp_path / "result" / "outputs", tmp_path / "there"
    copy_outputs(files, there)
    assert not there.exists()
    (files / "curves").mkdir(parents=True)
    (files / "oof.csv").write_text("new")
    (files / "curves" / "fold_0.svg").write_text("<svg/>")
    there.mkdir()
    (there / "oof.csv").write_text("old")
    copy_outputs(files, there)
    found = {str(path.relative_to(there)): path.read_text() for path in there.rglob("*") if path.is_file()}
    assert found == {"oof.csv": "new", "curves/fold_0.svg": "<svg/>"}
