"""A root that was moved while its jobs were queued: the scheduler knows another place."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from clusters.conftest import SlurmProject, unfinished_jobs
from toyproject import wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.mark.parametrize("copied", [False, True], ids=["moved", "copied"])
def test_nothing_is_concluded_about_a_queue_that_knows_another_root(project: SlurmProject, copied: bool) -> None:
    """Neither are its tasks failed, nor cancelled for the root that they belong to; a person says what goes on."""
    project.launch("cluster.keeper=false", "cluster.options={begin: now+1hour}")
    root = project.toy.folder / "elsewhere"
    shutil.copytree(project.toy.root, root, symlinks=True)
    before = project.job_states()
    if not copied:
        shutil.move(project.toy.root, project.toy.folder / "gone")
    environment = {**project.toy.environment, "SEEDFOLD_ROOT": str(root)}
    here = SlurmProject(replace(project.toy, root=root, environment=environment), project.slurm)
    assert f"6 tasks queued when the root was {project.toy.root}" in here.toy.output_of("status", "light")
    assert here.toy.states("light") == {"submitted": 6}
    here.toy.output_of("launch", *here.arguments("light", "cluster.keeper=false"))
    assert len(here.submissions()) == 1
    here.toy.output_of("cancel", "light")
    assert project.job_states() == before or not copied
    assert sorted(unfinished_jobs(before)) == sorted(unfinished_jobs(here.job_states()))
    here.toy.output_of("resume", "light", "cluster.options=null")
    wait_until(lambda: here.toy.states("light") == {"done": 6})
    assert here.ran_each_once()
    here.cancel_all()
