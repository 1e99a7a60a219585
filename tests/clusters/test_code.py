"""What is queued on a cluster computes what was asked, whatever is edited meanwhile."""

from __future__ import annotations

import pytest
from clusters.conftest import Project
from code_versions import NEW_WORDS, OLD_WORDS, RUN, read_words, seedfold_folders, write_code
from earlier_layout import move_back
from toyproject import wait_until

LAUNCH = (f"run={RUN}", "fold=0")


@pytest.mark.slow
@pytest.mark.usefixtures("copied_seedfold")
def test_code_and_configuration_are_edited_while_jobs_are_queued(either: Project) -> None:
    toy, study = either.toy, either.toy.study("light")
    write_code(toy, "old")
    either.launch("seed=0,1,2", "cluster.throttle=1", *LAUNCH)
    wait_until(lambda: (toy.folder / "begun").exists())
    write_code(toy, "new")
    experiment = toy.folder / "conf" / "experiment" / "light.yaml"
    experiment.write_text(experiment.read_text().replace("signal: 2.0", "signal: 7.0"))
    (toy.folder / "go").touch()
    either.wait(done=3)
    assert read_words(study) == {OLD_WORDS: [0, 1, 2]}
    (first,) = either.submissions()
    assert first.snapshot is not None
    assert seedfold_folders(study) == {study.snapshot_modules_folder(first.snapshot) / "seedfold/jobs/work.py"}
    either.launch("seed=0,1,2,3", "signal=2.0", *LAUNCH)
    either.wait(done=4)
    assert read_words(study) == {OLD_WORDS: [0, 1, 2], NEW_WORDS: [3]}


@pytest.mark.slow
def test_what_is_tried_again_keeps_its_code(either: Project) -> None:
    """A job runs out of memory, and is handed over again with more of it after the code was edited."""
    toy = either.toy
    write_code(toy, "old")
    (toy.folder / "go").touch()
    either.launch("seed=0,1", "fail_seeds=[1]", "cluster.keeper=false", *LAUNCH)
    either.wait(done=1, failed=1)
    either.wait_until_empty()
    write_code(toy, "new")
    toy.output_of("advance", "light")
    either.wait(done=2)
    assert read_words(toy.study("light")) == {OLD_WORDS: [0, 1]}
    assert len(either.submissions()) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("copied_seedfold")
def test_what_is_tried_again_keeps_code_from_before_modules_moved(either: Project) -> None:
    """So does the keeper behind it."""
    toy, study = either.toy, either.toy.study("light")
    write_code(toy, "old")
    (toy.folder / "go").touch()
    either.launch("seed=0,1", "fail_seeds=[1]", "cluster.keeper=false", *LAUNCH)
    either.wait(done=1, failed=1)
    either.wait_until_empty()
    [first] = either.submissions()
    assert first.snapshot is not None
    modules = study.snapshot_modules_folder(first.snapshot)
    move_back(modules / "seedfold")
    toy.output_of("resume", "light", "--code", "original", "cluster.keeper=true")
    either.wait(done=2)
    either.wait_until_empty()
    assert seedfold_folders(study) == {modules / "seedfold/jobs/work.py"}
    [log] = study.submissions_folder.glob("*/keeper/*/*.log")
    assert "nothing to do" in log.read_text()
