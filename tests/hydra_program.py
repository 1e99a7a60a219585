"""A Hydra program as a stranger would write it, in a folder with a `conf`, `trainers` and `results` of its own."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from command_server import forked_python, training_python
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from toyproject import Toy, wait_until

from seedfold.jobs.hydra_program import VOLATILE, Program, ProgramSweep

PROGRAM = '''
import logging
import os
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd

import results

log = logging.getLogger(__name__)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    """Train."""
    told = HydraConfig.get()
    with open(Path(get_original_cwd()) / "executions.txt", "a") as file:
        file.write(f"{cfg.model.name}-{cfg.lr}-{cfg.seed}\\n")
    log.info("%s in %s", told.job.override_dirname, Path.cwd())
    while cfg.wait_for and not (Path(get_original_cwd()) / cfg.wait_for).exists():
        time.sleep(0.02)
    if cfg.seed in cfg.bad_seeds:
        raise ValueError(f"seed {cfg.seed} is an unlucky one")
    Path(cfg.checkpoint).write_text(f"{told.runtime.choices.model} {results.WORD}")
    return {"loss": cfg.lr * cfg.model.width, "where": str(Path.cwd())}


if __name__ == "__main__":
    main()
'''

CONFIG = """
defaults:
  - model: small
  - _self_
lr: 0.1
seed: 0
bad_seeds: []
wait_for: null
never_given: ???
checkpoint: ${hydra:runtime.output_dir}/${model.name}.ckpt
steps: ${steps_of.${model.name}}
steps_of: {small: 1, large: 2}
"""

SEEDFOLD_PLUGINS = ("hydra/sweeper=seedfold", "hydra/launcher=seedfold_local")


@dataclass(frozen=True)
class HydraProgram:
    """The program, how it is run, and whether it needs PyTorch. What it looks like to our commands is ``toy``."""

    folder: Path
    environment: dict[str, str] = field(repr=False)
    command: tuple[str, ...] = ("train.py",)
    trains: bool = False

    @property
    def toy(self) -> Toy:
        """The same folder, for those who run our command in it."""
        return Toy(self.folder, self.folder / "runs", self.environment)

    def start(self, *args: str, python: Path = Path(sys.executable)) -> subprocess.Popen[str]:
        """Start the program in a session of its own."""
        return subprocess.Popen(
            [python, *self.command, *args],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def run(self, *args: str, code: int = 0) -> str:
        """Run the program, which has to end with that code; return what it printed."""
        process = self.start(*args, python=training_python() if self.trains else forked_python())
        out, error = process.communicate(timeout=300)
        assert process.returncode == code, f"{process.returncode}\n{out}\n{error}"
        return out + error

    def sweep(self, *args: str, code: int = 0) -> str:
        """Run it with ``-m`` and the two words."""
        return self.run("-m", *SEEDFOLD_PLUGINS, *args, code=code)

    def executions(self) -> list[str]:
        """Which points have been entered, each as often as it was."""
        file = self.folder / "executions.txt"
        return sorted(file.read_text().split()) if file.exists() else []

    def returned_values(self, study: str = "train") -> list[Any]:
        """What finished jobs returned."""
        files = (self.folder / "runs" / study).glob("store/*/*/return.json")
        return [json.loads(file.read_text())["value"] for file in files]

    def wait_for_executions(self, count: int) -> None:
        """Wait until so many jobs have begun."""
        wait_until(lambda: len(self.executions()) == count)

    def make_sweep(self, *arguments: str, module: str = "train", root: str = "config") -> ProgramSweep:
        """What our sweeper is asked for such a command line, read in this process."""
        loader = make_loader(str(self.folder / "conf"))
        config = loader.load_configuration(root, [*SEEDFOLD_PLUGINS, *arguments], RunMode.MULTIRUN)
        program = Program(module, "main", str(self.folder / "train.py"), (), str(self.folder), 0.0)
        identity = {"identity": {"volatile": list(VOLATILE)}, "cluster": {}, "failures": {}, "paths": {}}
        return ProgramSweep(loader, config, program, "train", identity)


def make_loader(folder: str | None) -> ConfigLoaderImpl:
    """Hydra's own loader, which reads what Hydra and its plugins bring along once in a process."""
    setup_globals()
    loader = ConfigLoaderImpl(create_config_search_path(folder))
    for source in loader.get_sources():
        if source.provider not in ("main", "schema"):
            source.load_config = _read_once(source.path, source.load_config)  # type: ignore[method-assign]
    return loader


def _read_once(place: str, read: Callable[..., Any]) -> Callable[..., Any]:
    def load_config(config_path: str) -> Any:
        if (place, config_path) not in _read_files:
            _read_files[place, config_path] = pickle.dumps(read(config_path))
        return pickle.loads(_read_files[place, config_path])

    return load_config


_read_files: dict[tuple[str, str], bytes] = {}


class ModelKind(Enum):
    FLAT = 1
    DEEP = 2


@dataclass
class DepthConfig:
    layers: int = 2


@dataclass
class TypedConfig:
    """A configuration as programs declare it that use no files."""

    kind: ModelKind = ModelKind.FLAT
    folder: Path = Path("data")
    depth: DepthConfig = field(default_factory=DepthConfig)
    resources: int = 3
    number: int = "${hydra:job.num}"  # type: ignore[assignment]


def make_hydra_program(folder: Path) -> HydraProgram:
    """Write the program into ``folder``."""
    files = {
        "train.py": PROGRAM,
        "conf/config.yaml": CONFIG,
        "conf/model/small.yaml": "name: small\nwidth: 8\n",
        "conf/model/large.yaml": "name: large\nwidth: 80\n",
        "trainers/__init__.py": "raise ImportError('the stranger has trainers of its own')\n",
        "results/__init__.py": "WORD = 'mine'\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return HydraProgram(folder, make_environment(folder))


def make_environment(folder: Path) -> dict[str, str]:
    """The environment of a program in ``folder``, with a home and a folder for temporary files of its own."""
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    set_variables = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "COLUMNS": "100"}
    environment = {key: value for key, value in os.environ.items() if key != "SEEDFOLD_ROOT"}
    return {**environment, **set_variables}


def axes_of_jobs(jobs: Sequence[Any]) -> list[dict[str, Any]]:
    """The axes of jobs."""
    return [dict(job.axes) for job in jobs]
