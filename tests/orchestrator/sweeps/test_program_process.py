"""What a job's process looks like to the program: its arguments, its main module, its moment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hydra_program import HydraProgram

PROGRAM = """
import argparse
import json
import subprocess
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="small")
def main(cfg):
    known, overrides = argparse.ArgumentParser().parse_known_args()
    folder = Path(HydraConfig.get().runtime.output_dir)
    facts = {"argv": sys.argv, "overrides": overrides, "lr": cfg.lr, "spec": str(sys.modules["__main__"].__spec__)}
    (folder / "facts.json").write_text(json.dumps(facts))
    if cfg.child:
        # As launchers of several processes start the others.
        again = [sys.executable, *sys.argv, "child=false", f"hydra.run.dir={folder}/child"]
        subprocess.run(again, check=True)
    return cfg.lr


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def program(stranger: HydraProgram) -> HydraProgram:
    (stranger.folder / "train.py").write_text(PROGRAM)
    (stranger.folder / "conf" / "small.yaml").write_text("lr: 1\nchild: true\nnote: ''\nmoment: ${now:%H%M%S%f}\n")
    (stranger.folder / "conf" / "other.yaml").write_text("defaults: [small]\n")
    return stranger


def facts_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("[0-9]/facts.json"))]


@pytest.mark.slow
def test_arguments_are_the_program_and_the_overrides_of_the_point(program: HydraProgram) -> None:
    program.sweep("lr=2,3", "note=a b", "hydra.sweep.dir=out", "--config-name=other")
    facts = facts_of(program.folder / "out")
    overrides = [["--config-name=other", f"lr={value}", "note=a\\ b"] for value in (2, 3)]
    assert [one["argv"][1:] for one in facts] == overrides
    assert [Path(one["argv"][0]).name for one in facts] == ["train.py", "train.py"]
    assert [one["overrides"] for one in facts] == overrides
    assert [one["spec"] for one in facts] == ["None", "None"]
    children = [json.loads(file.read_text()) for file in sorted(program.folder.glob("out/*/child/facts.json"))]
    assert [child["lr"] for child in children] == [2, 3]


@pytest.mark.slow
def test_a_sweep_in_batches_has_one_folder_and_counts_on(program: HydraProgram) -> None:
    program.run("-m", "hydra/launcher=seedfold_local", "+hydra.sweeper.max_batch_size=2", "lr=1,2,3,4", "child=false")
    (sweep,) = program.folder.glob("multirun/*/*")
    assert sorted(path.name for path in sweep.iterdir()) == ["0", "1", "2", "3", "multirun.yaml"]
    assert [one["lr"] for one in facts_of(sweep)] == [1, 2, 3, 4]


@pytest.mark.slow
def test_multirun_yaml_is_that_of_hydra(program: HydraProgram) -> None:
    arguments = ("-m", "lr=1,2", "child=false", "hydra.sweep.dir=${note}", "note=out")
    program.run(*arguments)
    theirs = yaml.safe_load((program.folder / "out" / "multirun.yaml").read_text())
    shutil.rmtree(program.folder / "out")
    program.sweep(*arguments[1:])
    ours = yaml.safe_load((program.folder / "out" / "multirun.yaml").read_text())
    assert set(ours.pop("hydra")) == set(theirs.pop("hydra"))
    assert ours == theirs


@pytest.mark.slow
def test_a_resolver_that_is_registered_below_the_main_guard_is_there(program: HydraProgram) -> None:
    file = program.folder / "train.py"
    register = (
        'from omegaconf import OmegaConf\n    OmegaConf.register_new_resolver("twice", lambda n: 2 * n)\n    main()'
    )
    file.write_text(file.read_text().replace("\n    main()", f"\n    {register}"))
    program.sweep("lr='${twice:1}'", "child=false")
    assert program.returned_values() == [2]


EDITED = """
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


def double(number):
    return 2 * number


@hydra.main(version_base=None, config_path="conf", config_name="main")
def main(cfg):
    told = HydraConfig.get()
    if "RANK_FILE" in os.environ:
        Path(os.environ["RANK_FILE"]).write_text(json.dumps([cfg.lr, cfg.steps, told.mode.name]))
        return None
    if cfg.seed == 1:
        Path("conf/main.yaml").write_text("lr: 9\\nsteps: 9\\nseed: 0\\nhydra: {mode: MULTIRUN}\\n")
        Path(__file__).write_text("raise ValueError('this is edited')")
        return None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (doubled,) = pool.map(double, [cfg.lr])
    rank_file = Path(told.runtime.output_dir, "rank.json")
    again = [sys.executable, *sys.argv, "hydra.run.dir=elsewhere", "hydra.output_subdir=null"]
    subprocess.run(again, env=os.environ | {"RANK_FILE": str(rank_file)}, check=True)
    return [doubled, *json.loads(rank_file.read_text())]


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_processes_that_a_job_starts_have_its_code_and_configuration_after_edits(stranger: HydraProgram) -> None:
    (stranger.folder / "train.py").write_text(EDITED)
    config = "lr: 1\nsteps: ${lr}\nseed: 0\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}\n"
    (stranger.folder / "conf" / "main.yaml").write_text(config)
    stranger.run("hydra/sweeper=seedfold", "hydra/launcher=seedfold_local", "hydra.launcher.slots=1")
    assert stranger.returned_values() in ([None, [2, 1, 1, "RUN"]], [[2, 1, 1, "RUN"], None])
