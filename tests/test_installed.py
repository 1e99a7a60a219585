"""A stranger's package, with a task, a model and a study, through an installed Seedfold, from its own folder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from installation import copy_repository, make_environment

import seedfold
from seedfold.orchestrator.code.digests import is_installed

SWEEPING = ("hydra/sweeper=seedfold", "hydra/launcher=seedfold_local")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NETWORK = '''
from torch import nn


class Bumps(nn.Sequential):
    """A hidden layer of bumps."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))
'''

TASK = """
classes: 2
features: 2
standardize: feature
split_seed: 7
source:
  _target_: seedfold.trainers.data.table.Table
  path: ${paths.data}/rings.csv
  target: inside
  classes: ${task.classes}
test: {fraction: 0.25, kind: stratified, seed: 7}
folds: {kind: stratified, k: 2, seed: 7}
"""

STUDY = """
# @package _global_
defaults:
  - override /task: rings
  - override /model: bumps
  - override /loss: cross_entropy
  - override /optimizer: adam
  - override /schedule: constant
  - override /sampling: default
  - override /augment: none
  - override /trainer: default
  - override /logger: none
  - override /checkpoint: default
  - override /predict: default
matrix: {fold: [0, 1], model.width: [4, 16]}
optimizer: {lr: 0.05}
trainer: {max_epochs: 3}
"""


PROGRAM = """
import hydra


@hydra.main(version_base=None, config_path=None)
def main(config):
    return config.seed


if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A research repository that has a ``results/`` and a ``jobs/`` of its own, too."""
    folder = tmp_path_factory.mktemp("rings")
    files = {
        "rings/__init__.py": "",
        "rings/network.py": NETWORK,
        "results/__init__.py": "raise ImportError('the stranger has results of its own')",
        "jobs/__init__.py": "raise ImportError('the stranger has jobs of its own')",
        "conf/task/rings.yaml": TASK,
        "conf/model/bumps.yaml": "_target_: rings.network.Bumps\nwidth: 8\n",
        "conf/experiment/rings.yaml": STUDY,
        "data/rings.csv": _rings(),
        "program.py": PROGRAM,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _rings() -> str:
    points = [(x / 7 - 1, y / 7 - 1) for x in range(15) for y in range(15)]
    rows = [f"{x:.3f},{y:.3f},{int(x * x + y * y < 0.6)}" for x, y in points]
    return "\n".join(["x,y,inside", *rows]) + "\n"


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_a_study_of_a_strangers_package(project: Path, tmp_path: Path, kind: str) -> None:
    source = copy_repository(tmp_path / "source")
    installed = make_environment(tmp_path, ["--editable", str(source)] if kind == "editable" else [str(source)])
    where = subprocess.run(
        [installed / "python", "-c", "import seedfold; print(seedfold.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(str(source) if kind == "editable" else str(installed.parent))
    static = "orchestrator/page/static"
    assert names_below(Path(where.strip()).parent / static) == names_below(source / static)
    (tmp_path / "home").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "SEEDFOLD_ROOT": str(tmp_path / "runs")}
    if (kind == "editable") == is_installed(seedfold.__file__):
        _launch_and_count(installed, project, tmp_path, environment)
    swept = _run_program(installed, project, environment, "-m", *SWEEPING, "+seed=1,2")
    assert "program: 2 done" in swept
    asked = ("hydra/launcher=seedfold_slurm", "--cfg", "hydra", "--package", "hydra.launcher")
    assert "partition: null" in _run_program(installed, project, environment, *asked)


def _launch_and_count(installed: Path, project: Path, elsewhere: Path, environment: dict[str, str]) -> None:
    """Do the study. The other tests do theirs with an installation of the other kind: the one that they run in."""
    launched = subprocess.run(
        [installed / "seedfold", "launch", "--wait", "--config-dir", "conf", "experiment=rings", "paths.data=data"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert launched.returncode == 0, launched.stdout + launched.stderr
    status = subprocess.run(
        [installed / "seedfold", "status", "rings", "--json"],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(status.stdout)["states"]["done"] == 4


def names_below(folder: Path) -> set[str]:
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert "index.html" in names
    return names


def _run_program(installed: Path, folder: Path, environment: dict[str, str], *args: str) -> str:
    command = [installed / "python", "program.py", *args]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
