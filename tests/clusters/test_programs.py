"""A program that is not ours on a cluster: its jobs in arrays by what each of them asks for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from clients.both_ways import PROGRAMS
from clusters.conftest import LsfProject, Project, SlurmProject
from clusters.slurm.cluster import Cluster
from command_server import forked_python, training_python
from hydra_program import HydraProgram, make_hydra_program
from toyproject import wait_until

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Place:
    """A stranger's program where a scheduler answers, and the words that have it swept there."""

    program: HydraProgram
    project: Project

    @property
    def words(self) -> tuple[str, ...]:
        python = f"hydra.launcher.python={forked_python()}"
        return ("-m", "hydra/sweeper=seedfold", f"hydra/launcher=seedfold_{self.project.scheduler}", python)


@pytest.fixture
def on_slurm_cluster(slurm: Cluster, tmp_path: Path) -> Iterator[Place]:
    program = make_hydra_program(tmp_path / "stranger")
    known = {name: value for name, value in slurm.environment.items() if name == "SLURM_CONF"}
    program = replace(program, environment={**program.environment, **known})
    project = SlurmProject(program.toy, slurm)
    yield Place(program, project)
    project.cancel_all()


@pytest.fixture
def on_classic_lsf(on_classic: LsfProject, tmp_path: Path) -> Place:
    program = make_hydra_program(tmp_path / "stranger")
    lsf = on_classic.lsf
    known = {**lsf.variables, "PATH": f"{lsf.bin}{os.pathsep}{program.environment.get('PATH', os.environ['PATH'])}"}
    program = replace(program, environment={**program.environment, **known})
    return Place(program, LsfProject(program.toy, lsf))


@pytest.fixture(
    params=[pytest.param("on_slurm_cluster", marks=pytest.mark.slurm), "on_classic_lsf"], ids=["slurm", "lsf"]
)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def test_sweep_whose_program_is_killed_is_gone_on_with(place: Place) -> None:
    stranger = place.program
    points = ("model=small,large", "seed=1,2", "wait_for=go", "hydra.launcher.resources.cpus=${steps}")
    program = stranger.start(*place.words, *points, python=forked_python())
    wait_until(lambda: stranger.executions())
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate()
    submissions = place.project.submissions("train")
    asked = {one.array.resources.cpus: len(one.jobs) for one in submissions if one.array is not None}
    assert asked == {1: 2, 2: 2}
    (stranger.folder / "go").touch()
    said = stranger.run(*place.words, *points)
    assert "train: 4 jobs, nothing to start" in said
    assert "train: 4 done" in said
    assert len(stranger.executions()) == len(set(stranger.executions())) == 4


SEARCHED = """
import time
from pathlib import Path

import hydra
from hydra.utils import get_original_cwd


@hydra.main(version_base=None, config_path="conf", config_name="searched")
def main(cfg):
    with open(Path(get_original_cwd()) / "points.txt", "a") as file:
        file.write(f"{cfg.x:.6f}\\n")
    while not (Path(get_original_cwd()) / "go").exists():
        time.sleep(0.05)
    return (cfg.x - 0.3) ** 2


if __name__ == "__main__":
    main()
"""


def test_a_search_whose_program_is_killed_is_gone_on_with(place: Place) -> None:
    stranger = place.program
    (stranger.folder / "train.py").write_text(SEARCHED)
    (stranger.folder / "conf" / "searched.yaml").write_text("x: 0.5\n")
    points = stranger.folder / "points.txt"
    settings = "space: {x: {uniform: [0, 1]}}, sampler: random, trials: 4, direction: minimize, parallel: 2, seed: 1"
    words = (*place.words, f"hydra.sweeper.search={{{settings}}}")
    program = stranger.start(*words, python=forked_python())
    wait_until(lambda: points.exists() and len(points.read_text().split()) == 2)
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate()
    (stranger.folder / "go").touch()
    assert "search: 4 of 4 trials (4 done)" in stranger.run(*words)
    tried = points.read_text().split()
    assert len(tried) == len(set(tried)) == 4


SCHEDULER_VARIABLES = {
    "slurm": {"SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_NODELIST", "SLURM_NTASKS", "SLURM_JOB_NAME"},
    "lsf": {"LSB_JOBID", "LSB_JOBINDEX", "LSB_HOSTS"},
}


def test_programs_see_the_scheduler_and_lightning_starts_its_own_processes(place: Place) -> None:
    stranger = place.program
    (stranger.folder / "train.py").write_text((PROGRAMS / "ddp" / "app.py").read_text())
    (stranger.folder / "conf" / "config.yaml").write_text((PROGRAMS / "ddp" / "conf" / "config.yaml").read_text())
    # With a number of tasks, Lightning would take SLURM for what starts its processes.
    tasks = ["hydra.launcher.options={ntasks: 1}"] if place.project.scheduler == "slurm" else []
    python = f"hydra.launcher.python={training_python()}"
    said = stranger.run(*place.words, python, "seed=7", "hydra.launcher.resources.cpus=2", *tasks)
    assert "train: 1 done" in said
    assert stranger.returned_values() == [2]
    for rank in range(2):
        # Lightning gives the processes that it starts a folder of their own.
        (file,) = stranger.folder.glob(f"out*/**/rank-{rank}.txt")
        lines = file.read_text().splitlines()
        assert lines[0] == "2 processes, seed 7"
        assert SCHEDULER_VARIABLES[place.project.scheduler] <= set(lines)
        assert [line for line in lines if line.startswith(("detected", "SUBMITIT_"))] == []


STRANGE = """
import sys
import uuid
from pathlib import Path

import hydra
from omegaconf import OmegaConf

scale = sys.argv.pop(1).removeprefix("--scale=")


@hydra.main(version_base=None, config_path="conf", config_name="strange")
def main(cfg):
    with (Path(__file__).parent / "beside.txt").open("a") as file:
        file.write(f"{cfg.seed} {cfg.run_id} {cfg.twice} {scale} {' '.join(sys.argv[1:])}\\n")
    sys.exit(0)


if __name__ == "__main__":
    OmegaConf.register_new_resolver("fresh", lambda: uuid.uuid4().hex, use_cache=True)
    OmegaConf.register_new_resolver("double", lambda number: 2 * number)
    main()
"""


def test_a_program_runs_as_the_main_module_on_a_cluster_too(place: Place) -> None:
    """With an option of its own, resolvers below its guard, values that it draws, and a file that it writes beside."""
    stranger = place.program
    (stranger.folder / "train.py").write_text(STRANGE)
    (stranger.folder / "conf" / "strange.yaml").write_text("seed: 0\nrun_id: ${fresh:}\ntwice: ${double:${seed}}\n")
    said = stranger.run("--scale=3", *place.words, "seed=1,2", "run_id='${fresh:}'")
    assert "train: 2 done" in said
    rows = [line.split(maxsplit=4) for line in sorted((stranger.folder / "beside.txt").read_text().splitlines())]
    assert [(seed, twice, scale) for seed, _, twice, scale, _ in rows] == [("1", "2", "3"), ("2", "4", "3")]
    assert len({drawn for _, drawn, *_ in rows}) == 2
    assert [words.split()[0] for *_, words in rows] == ["seed=1", "seed=2"]
    assert "nothing to start" in stranger.run("--scale=3", *place.words, "seed=1,2", "run_id='${fresh:}'")
