"""A job of a program is like a run of the program by hand: its main module, its own arguments, its files, its ends."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hydra_program import HydraProgram

from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.sweeps.main_program import study_name

SCRIPT = """
import argparse
import multiprocessing
import sys
from pathlib import Path

import hydra
from hydra import compose
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

import helper

OmegaConf.register_new_resolver("once", lambda: 1)  # A second time it would be refused.
parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=int, default=1)
own, sys.argv[1:] = parser.parse_known_args()
HERE = Path(__file__).parent


class Pair:
    def __init__(self, number):
        self.pair = number, number


def make_pair(number):
    return Pair(number)


class Called:
    # As zen(...) makes them: the function that Hydra gets has no name.
    def __init__(self, func):
        self.func = func

    def __call__(self, cfg):
        return self.func(cfg)


def train(cfg):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (made,) = pool.map(make_pair, [cfg.seed])
    (HERE / f"made-{cfg.seed}.txt").write_text("x")
    helper.leave(cfg.seed)
    return {
        "pair": list(made.pair),
        "is_pair": isinstance(made, Pair),
        "scale": own.scale,
        "twice": cfg.twice,
        "composed": compose("main", ["seed=7", "twice=0"]).seed,
        "main": [sys.modules["__main__"].__file__, sys.argv[0], train.__module__],
    }


if __name__ == "__main__":
    OmegaConf.register_new_resolver("twice", lambda number: 2 * number)
    hydra.main(version_base=None, config_path="../conf", config_name="main")(Called(train))()
    with (HERE / "after.txt").open("a") as file:
        file.write("once\\n")
"""
HELPER = """
from pathlib import Path


def leave(seed):
    Path(__file__).with_name(f"helped-{seed}.txt").write_text("x")
"""
UNGUARDED = """
import hydra

from . import words


@hydra.main(version_base=None, config_path="conf", config_name="config")
def first(cfg):
    return "first"


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    return [words.WORD, __name__, __spec__.name]


if words.WORD:
    first() if words.TWO else None
    main()
"""


@pytest.mark.slow
def test_a_script_in_a_folder_runs_as_by_hand(stranger: HydraProgram) -> None:
    scripts = stranger.folder / "scripts"
    scripts.mkdir()
    (scripts / "run-it.py").write_text(SCRIPT)
    (scripts / "helper.py").write_text(HELPER)
    (stranger.folder / "conf" / "main.yaml").write_text("seed: 1\none: ${once:}\ntwice: ${twice:${seed}}\n")
    program = replace(stranger, command=("scripts/run-it.py", "--scale", "3"))
    program.sweep("seed=1,2")
    values = sorted(program.returned_values("run-it"), key=lambda value: value["twice"])
    file = str(scripts / "run-it.py")
    assert values == [
        {
            "pair": [seed, seed],
            "is_pair": True,
            "scale": 3,
            "twice": 2 * seed,
            "composed": 7,
            "main": [file, file, "__main__"],
        }
        for seed in (1, 2)
    ]
    left = sorted(path.name for path in scripts.glob("*.txt"))
    assert left == ["after.txt", "helped-1.txt", "helped-2.txt", "made-1.txt", "made-2.txt"]
    assert (scripts / "after.txt").read_text() == "once\n"
    said = replace(program, command=("scripts/run-it.py", "--scale", "4")).sweep("seed=1,2", code=2)
    assert "hydra.arguments" in said


@pytest.mark.slow
def test_a_module_without_a_guard_does_not_sweep_again_in_its_jobs(stranger: HydraProgram) -> None:
    package = stranger.folder / "lab"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text("WORD = 'old'\nTWO = False\n")
    (package / "conf").symlink_to(stranger.folder / "conf")
    (package / "fit.py").write_text(UNGUARDED)
    program = replace(stranger, command=("-m", "lab.fit"))
    program.sweep("seed=1,2")
    assert program.returned_values("fit") == [["old", "__main__", "lab.fit"]] * 2
    # Of two sweeps, each job takes its own.
    (package / "words.py").write_text("WORD = 'old'\nTWO = True\n")
    said = program.sweep("seed=1,2", "hydra.job.name=both", code=2)
    assert "would be replaced" in said
    assert program.returned_values("both") == ["first", "first"]


ENDS = """
import os
import signal
import subprocess
import sys
import time

import hydra


@hydra.main(version_base=None, config_path="conf", config_name="ends")
def main(cfg):
    if cfg.how == "zero":
        sys.exit(0)
    if cfg.how == "bare":
        sys.exit()
    if cfg.how == "text":
        sys.exit("no data")
    if cfg.how == "three":
        sys.exit(3)
    if cfg.how == "four":
        sys.exit(4)
    if cfg.how == "os":
        os._exit(0)
    if cfg.how == "ctrl":
        raise KeyboardInterrupt
    # As a launcher of several processes does when one of them has failed.
    subprocess.run([sys.executable, "-c", "raise ValueError('rank 1 has no data')"])
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_each_end_of_a_function_is_told_as_what_it_is(stranger: HydraProgram) -> None:
    (stranger.folder / "train.py").write_text(ENDS)
    (stranger.folder / "conf" / "ends.yaml").write_text("how: zero\n")
    stranger.sweep("how=zero,bare,text,three,four,os,ctrl,killed", code=1)
    overview = Overview(Root(stranger.folder / "runs"), "train")
    views = {view.job.axes["how"]: view for view in overview.job_views(Selection.parse((), (), None))}
    reasons = {how: view.job_state.reason for how, view in views.items() if view.state == "failed"}
    assert "exited by os._exit, or as another program, with code 0" in reasons.pop("os")
    assert reasons.pop("ctrl").startswith("KeyboardInterrupt in main, train.py:")
    assert reasons == {
        "text": "SystemExit: no data",
        "three": "SystemExit: 3",
        "four": "SystemExit: 4",
        "killed": "the program killed its own process (SIGKILL); the last error in its log: "
        "ValueError: rank 1 has no data",
    }
    assert stranger.returned_values() == [None, None]


def test_a_study_is_not_named_after_the_library_of_its_function() -> None:
    class Called:
        def __call__(self, config: object) -> None:
            pass

    library = Called.__module__.rpartition(".")[2]
    assert study_name(library, Called(), "lab.fit") == "fit"
    assert study_name(library, Called(), "lab.__main__") == "lab"
    assert study_name("mine", Called(), "lab.fit") == "mine"
    assert study_name(library, test_a_study_is_not_named_after_the_library_of_its_function, "lab.fit") == library


def test_a_tool_that_calls_a_program_is_not_run_again(tmp_path: Path) -> None:
    script = "import sys; from seedfold.orchestrator.sweeps.main_program import find_main_program as find; "
    asked = f"{script}print(find(print))"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert found.stdout == "None\n"
    (tmp_path / "go.py").write_text(
        f"{script.replace('; ', chr(10))}\nsys.argv = ['go.py', 'a=1']\nprint(find(print))\n"
    )
    found = subprocess.run(
        [sys.executable, "-u", "go.py", "--own", "a=1"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "argv=('--own', 'a=1')" in found.stdout
