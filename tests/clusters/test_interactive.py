"""One job by hand in an allocation that a scheduler gave: it is tried, and nothing is recorded."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from clusters.conftest import Project, SlurmProject, make_lsf_project
from clusters.lsf.cluster import Lsf
from toyproject import SEEDFOLD, read_files

pytestmark = pytest.mark.slow

LOOK = '''
"""A job that tells what it sees of the scheduler, and where it was started."""

import json
import os
from pathlib import Path

ALLOCATIONS = ("SLURM_JOB_ID", "LSB_JOBID")


def run(work):
    around = Path(f"/proc/{os.getpid()}/environ").read_text().split(chr(0))
    allocated = [entry for entry in around if entry.partition("=")[0] in ALLOCATIONS]
    seen = [name for name in os.environ if name.startswith(("SLURM", "LSB_"))]
    (work.staging / "answer.txt").write_text(json.dumps({"allocated": allocated, "seen": seen}))
'''


def tried(project: Project, *front: str, at_once: bool) -> list[str]:
    """Try a queued job behind these words; what its process was told of its allocation when it started.

    ``at_once`` says whether the command is one argument, which a shell reads.
    """
    (project.toy.folder / "toy" / "look.py").write_text(LOOK)
    project.launch("run=toy.look.run", "seed=1", "fold=0", "cluster.keeper=false", project.hold_override)
    before = read_files(project.toy.root)
    command = [str(SEEDFOLD), "run", "seed=1", "fold=0"]
    ended = subprocess.run(
        [*front, *([shlex.join(command)] if at_once else command)],
        cwd=project.toy.folder,
        env=project.toy.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert read_files(project.toy.root) == before
    assert project.states() == {"submitted": 1}
    [wrote] = [line.removeprefix("wrote ") for line in ended.stdout.splitlines() if line.startswith("wrote ")]
    answer = json.loads(Path(wrote).read_text())
    assert answer["seen"] == []
    allocated: list[str] = answer["allocated"]
    return allocated


@pytest.mark.slurm
def test_a_job_is_tried_inside_salloc(project: SlurmProject) -> None:
    [allocated] = tried(project, "salloc", "--mem=100M", at_once=False)
    assert allocated.startswith("SLURM_JOB_ID=")
    assert allocated != f"SLURM_JOB_ID={project.first_array_id()}"


def test_a_job_is_tried_inside_bsub(lsf: Lsf, tmp_path: Path) -> None:
    [allocated] = tried(make_lsf_project(lsf, tmp_path / "project"), "bsub", "-Is", at_once=True)
    number = allocated.removeprefix("LSB_JOBID=")
    assert lsf.job_states(number) == {number: "DONE"}
