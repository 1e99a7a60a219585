"""Where the checkpoints of a job are: those that our trainer names, and those that a program keeps."""

from __future__ import annotations

import json
import os
from pathlib import Path

from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_files import find_checkpoints

JOB, FIT = "a" * 64, "b" * 64


def test_checkpoints_of_our_trainer_are_those_that_it_names_and_that_are_there(tmp_path: Path) -> None:
    root = Root(tmp_path)
    folder = root.study_folder("s").job_folder(FIT)
    folder.mkdir(parents=True)
    assert find_checkpoints(root, root.study_folder("s"), JOB, FIT) == {}
    weights = {"last": "last.ckpt", "best": "best-000003.ckpt", "best/grade": "best-000001.ckpt"}
    (folder / "fit.json").write_text(json.dumps({"weights": weights}))
    for name in ("last.ckpt", "best-000003.ckpt"):
        (folder / name).touch()
    found = find_checkpoints(root, root.study_folder("s"), JOB, FIT)
    assert found == {"last": folder / "last.ckpt", "best": folder / "best-000003.ckpt"}


def test_of_what_a_program_keeps_the_newest_of_each_name_counts(tmp_path: Path) -> None:
    root = Root(tmp_path)
    folder = root.study_folder("s").job_folder(JOB) / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for age, name in enumerate(("last-2.ckpt", "last.ckpt", "epoch=3.ckpt")):
        (folder / name).touch()
        os.utime(folder / name, (1000 - age, 1000 - age))
    assert find_checkpoints(root, root.study_folder("s"), JOB, FIT) == {"last": folder / "last-2.ckpt"}


def test_a_checkpoint_that_its_job_replaces_meanwhile_is_passed_over(tmp_path: Path) -> None:
    root = Root(tmp_path)
    folder = root.study_folder("s").job_folder(JOB) / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "last-1.ckpt").touch()
    # Listed, and gone when it is looked at.
    (folder / "last-2.ckpt").symlink_to("gone")
    (folder / "best.ckpt").symlink_to("gone")
    assert find_checkpoints(root, root.study_folder("s"), JOB, FIT) == {"last": folder / "last-1.ckpt"}
