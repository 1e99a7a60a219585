"""A command that is swept on a cluster hears the scheduler's warning, and goes on from its checkpoint."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from clusters.conftest import LsfProject, Project, SlurmProject
from toyproject import wait_until

pytestmark = pytest.mark.slow

SCRIPT = """
last=$SEEDFOLD_CHECKPOINTS/last.txt
first=$(cat $last 2>/dev/null || echo 0)
trap 'exit 1' TERM
for step in $(seq $((first + 1)) 4); do
    echo "step $step value $1"
    echo $step > $last.new && mv $last.new $last
    while [ -e data/hold ] && [ $step = 2 ]; do sleep 0.1; done
done
"""


def check_warned_command(project: Project) -> None:
    (project.toy.folder / "fit.sh").write_text(SCRIPT)
    project.toy.hold_jobs()
    project.toy.output_of(
        *("sweep", "--name", "mine", f"cluster={project.scheduler}", "resources.memory=1GB", "x=5,6"),
        *(r"--pattern=step (?P<step>\d+) value (?P<x>\d+)", "--", "bash", "fit.sh", "{x}"),
    )
    study = project.toy.study("mine")
    wait_until(
        lambda: [file.read_text() for file in study.path.glob("jobs/*/*/run/checkpoints/last.txt")] == ["2\n"] * 2
    )
    number = project.first_array_id("mine")
    for index in range(2):
        project.send_warning(project.task_name(number, index))
    wait_until(lambda: project.states("mine").get("running", 0) == 0)
    project.toy.release_jobs()
    project.wait("mine", done=2)
    for result in study.path.glob("store/*/*/result.json"):
        assert_steps_once(result.parent)


def assert_steps_once(folder: Path) -> None:
    with (folder / "epochs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert len({row["x"] for row in rows}) == 1


@pytest.mark.slurm
def test_a_command_on_slurm(project: SlurmProject) -> None:
    check_warned_command(project)


def test_a_command_on_lsf(on_classic: LsfProject) -> None:
    check_warned_command(on_classic)
