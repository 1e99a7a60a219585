"""Makes a small root as this version writes it, to be kept: later versions have to read it, resume it and report it.

    PYTHONPATH=tests python tests/roots/make.py 0.1

writes ``tests/roots/0.1.tar.gz``, a project with its root in ``runs``, and ``tests/roots/0.1.json``, what this version
says of it. Run it by hand, with the version whose root is to be kept, and never again for that version: the root is
what `test_old_root` is about. All that is in it was done by the command ``seedfold``, also what went wrong: jobs are
killed, stopped, cancelled, blocked, and left in the queue of a cluster that is gone.

What is kept is as it was written, but for the names of this machine, its user and its folders. No snapshots of the code
are taken: each would hold all of Seedfold.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from clusters.lsf.cluster import running
from killed_processes import job_processes, kill_jobs, worker_processes
from old_root import describe_study, make_project
from toyproject import Toy, wait_until

from seedfold.orchestrator.ledger.layout import StudyFolder

HERE = Path(__file__).parent
_HOST_NAME = "laptop"
_NODE_PATTERN = re.compile(rf"(?<=/events/){re.escape(os.uname().nodename)}(?=-)")
_DAY_S = 24 * 3600
_OMITTED_NAMES = {"__pycache__", "submitit", "worker.log", "scans", "cache"}
PROJECT = Path("/tmp/ada/project")
"""Where the project lies while it is made: paths in the root and in its pickles name it, and go on naming it."""

# --- the project of a user -------------------------------------------------------------------------------------------

SHAPES_TASK = """\
classes: 3
channels: 1
size: [8, 8]
features: 64
standardize: feature
source:
  _target_: seedfold.trainers.data.table.Table
  path: ${paths.data}/shapes.csv
  target: shape
  id: name
  shape: [1, 8, 8]
  classes: ${task.classes}
test: {fraction: 0.2, kind: stratified, seed: 1}
folds: {kind: stratified, k: 2, seed: 1}
"""

FLAT_MODEL = """\
_target_: seedfold.trainers.networks.MLP
features: ${task.features}
classes: ${task.classes}
hidden: [4]
"""

SQUARE_MODEL = """\
_target_: seedfold.trainers.networks.SmallCNN
in_channels: 1
size: ${task.size}
classes: ${task.classes}
channels: [4]
dropout: 0.5
"""

WEIGHED_LOSS = """\
weighting: none
class_weights: null
head_weights: null
function:
  _target_: seedfold.trainers.losses.CrossEntropy
  class_weights: ${loss.class_weights}
"""

RAMP_SCHEDULE = """\
_target_: seedfold.trainers.schedules.RampSustainDecay
_partial_: true
start: 0.001
max: 0.02
min: 0.001
ramp: 2
sustain: 1
decay: 0.8
"""

NUDGE_AUGMENT = """\
_target_: seedfold.trainers.augment.Shift
pixels: 1
"""

SHAPES = """\
# @package _global_
defaults:
  - override /task: shapes
  - override /model: flat
  - override /loss: weighed
  - override /optimizer: adam
  - override /schedule: ramp
  - override /sampling: default
  - override /augment: nudge
  - override /trainer: early_stopping
  - override /logger: none
  - override /checkpoint: default
  - override /predict: default
stages:
  train:
    run: seedfold.trainers.fit_predict.run
    matrix: {fold: [0, 1], model: [flat, square]}
    derive:
      loss.class_weights:
        _target_: seedfold.jobs.imbalance.class_weights
        scheme: ratio
        ratio: 2
        classes: ${task.classes}
  count:
    run: lab.count.run
    uses: [at_least]
    matrix: {fold: [0, 1], at_least: [1, 1000, -1]}
    after: [train]
at_least: 1
trainer: {max_epochs: 8, batch_size: 8, metrics: [accuracy]}
resources: {cpus: 1, memory: 1GB, time: 10min}
"""

COUNT = '''\
"""Counts what was predicted, where that is enough."""

import pandas as pd
from seedfold.jobs.work import RunBlocked, Work
from seedfold.results.values import write_values

PRELOAD = ("pandas", "seedfold.results.predictions")


def run(work: Work) -> None:
    least = work.config["at_least"]
    if least < 0:
        raise ValueError(f"{least} rows are no number of rows")
    rows = sum(len(pd.read_parquet(folder / "predictions.val.parquet")) for folder in work.parents.values())
    if rows < least:
        raise RunBlocked(f"{rows} rows are fewer than {least}")
    write_values(work.staging, {"rows": rows})
'''

GUESSES = """\
# @package _global_
run: lab.guess.run
matrix: {seed: [0, 1, 2]}
resources: {cpus: 1, memory: 1GB, time: 10min}
"""

GUESS = '''\
"""Predictions that cost nothing."""

import numpy as np
from seedfold.jobs.work import Work
from seedfold.results.predictions import write_predictions


def run(work: Work) -> None:
    with open("guessed.txt", "a") as file:
        file.write(f"{work.config['seed']}\\n")
    names = [f"s{number}" for number in range(12)]
    logits = np.random.default_rng(work.config["seed"]).normal(size=(12, 3)).astype(np.float32)
    targets = np.arange(12) % 3
    job = work.description
    write_predictions(
        work.staging, "val", job=job, sample_ids=names, targets=targets, logits={"main": logits}, expected=names
    )
'''

SCAN = '''\
"""A program that is nobody's but the user's, with a configuration that it declares."""

from dataclasses import dataclass, field

import hydra
from hydra.core.config_store import ConfigStore


@dataclass
class Beam:
    rate: float = 0.1
    turns: int = 2


@dataclass
class Config:
    beam: Beam = field(default_factory=Beam)


ConfigStore.instance().store(name="scan", node=Config)


@hydra.main(version_base=None, config_path=None, config_name="scan")
def main(config: Config) -> float:
    with open(f"{hydra.utils.get_original_cwd()}/scanned.txt", "a") as file:
        file.write(f"{config.beam.rate}\\n")
    return config.beam.rate * config.beam.turns


if __name__ == "__main__":
    main()
'''

FILES = {
    "conf/task/shapes.yaml": SHAPES_TASK,
    "conf/model/flat.yaml": FLAT_MODEL,
    "conf/model/square.yaml": SQUARE_MODEL,
    "conf/loss/weighed.yaml": WEIGHED_LOSS,
    "conf/schedule/ramp.yaml": RAMP_SCHEDULE,
    "conf/augment/nudge.yaml": NUDGE_AUGMENT,
    "conf/experiment/shapes.yaml": SHAPES,
    "conf/experiment/guesses.yaml": GUESSES,
    "lab/__init__.py": "",
    "lab/count.py": COUNT,
    "lab/guess.py": GUESS,
    "scan.py": SCAN,
}

SIDE, DEPTH = slice(6, 18), slice(14, 30)
"""The part of each volume that is kept, for a small archive."""

# --- what is asked for -----------------------------------------------------------------------------------------------

OWN = ("--config-dir", "conf")
LOCAL = ("cluster.snapshot=false", "cluster.slots=1")
STUDIES: Mapping[str, tuple[str, ...]] = {
    "digits": (
        "experiment=digits",
        "size=tiny",
        "seed=0,1,2,3",
        "fold=0,1",
        "loss.weighting=ratio",
        "trainer.max_epochs=4",
        "model.channels=[4,8]",
    ),
    "dark_side": (
        "experiment=dark_side",
        "size=tiny",
        "paths.data=data/volumes",
        "task.volumes.shape=[12,12,16]",
        "new_volumes.shape=[12,12,16]",
    ),
    "shapes": (*OWN, "experiment=shapes", "paths.data=data"),
    "guesses": (*OWN, "experiment=guesses"),
}
"""What each study is launched with, but for where and how it runs."""
SCANNED = ("-m", "hydra/sweeper=seedfold", "hydra/launcher=seedfold_local", "hydra.sweep.dir=scans")


class Maker:
    """The project while things are done in it and go wrong."""

    def __init__(self) -> None:
        self.toy = make_project(PROJECT)

    def make(self) -> None:
        self._write_project()
        self._digits()
        self._dark_side()
        self._shapes()
        self._scan()
        self.toy.output_of("import", "away.csv", "--study", "away", "--set", "site=north", "--set", "seed=3")
        self.toy.wait_for_workers()
        self._guesses()

    def _write_project(self) -> None:
        for name, text in FILES.items():
            (PROJECT / name).parent.mkdir(parents=True, exist_ok=True)
            (PROJECT / name).write_text(text)
        (PROJECT / "data").mkdir()
        dice = np.random.default_rng(1)
        (PROJECT / "data/shapes.csv").write_text("\n".join(_make_shapes(dice)) + "\n")
        (PROJECT / "away.csv").write_text("\n".join(_make_predictions(dice)) + "\n")
        self.toy.output_of("make-data", "dark_side", "--out", "data/volumes")
        for file in (PROJECT / "data/volumes").rglob("*.npy"):
            np.save(file, np.ascontiguousarray(np.load(file)[SIDE, SIDE, DEPTH]))

    # --- the studies ---------------------------------------------------------------------------------------------

    def _digits(self) -> None:
        """Four are done; one was stopped by its user, one was killed, one is cancelled, one lost its worker."""
        self._launch("digits", "--where", "seed=0,3")
        self._disturb("digits", kill_jobs, "launch", "--where", "seed=1 fold=0")
        self._disturb("digits", None, "resume", "--where", "seed=1 fold=0")
        self._disturb("digits", kill_jobs, "launch", "--where", "seed=1 fold=1")
        self.toy.output_of("cancel", "digits", "--where", "seed=2 fold=0")
        self._disturb("digits", _kill_workers, "launch", "--where", "seed=2 fold=1")

    def _dark_side(self) -> None:
        """Volumes are cut, one network has learnt and predicted, another was stopped while it learnt."""
        self._launch("dark_side", "--stage", "slices", "--stage", "new_slices")
        self._launch("dark_side", "--stage", "train", "--stage", "infer", "--where", "fold=0")
        self._disturb("dark_side", None, "launch", "--stage", "train", "--where", "fold=1")

    def _shapes(self) -> None:
        """Jobs are superseded, done, blocked, failed, stopped, and not begun."""
        self._launch("shapes", "--stage", "train", "--where", "fold=0 model=flat", "trainer.max_epochs=1")
        self._launch("shapes", "--where", "fold=0", "--replace")
        self._disturb("shapes", None, "launch", "--stage", "train", "--where", "fold=1 model=square")

    def _guesses(self) -> None:
        """One is done here; two are queued on a cluster that is gone."""
        self._launch("guesses", "--where", "seed=0")
        folder = PROJECT.parent / "lsf"
        folder.mkdir()
        with running(folder) as lsf:
            known = {**lsf.variables, "PATH": f"{lsf.bin}:{os.environ['PATH']}"}
            on_lsf = Toy(PROJECT, self.toy.root, {**self.toy.environment, **known})
            held = ("cluster=lsf", "cluster.snapshot=false", "cluster.options={H: true}")
            on_lsf.output_of("launch", *STUDIES["guesses"], *held)
            assert on_lsf.states("guesses") == {"done": 1, "submitted": 2}

    def _scan(self) -> None:
        command = [sys.executable, "scan.py", *SCANNED, "hydra.launcher.snapshot=false", "beam.rate=0.1,0.2"]
        subprocess.run(command, cwd=PROJECT, env=self.toy.environment, check=True)

    # --- done, and going wrong -----------------------------------------------------------------------------------

    def _launch(self, study: str, *args: str) -> None:
        ended = self.toy.run("launch", "--wait", *STUDIES[study], *LOCAL, *args)
        assert ended.returncode in {0, 1}, ended.stdout + ended.stderr
        print(ended.stdout)
        self.toy.wait_for_workers()

    def _disturb(self, study: str, kill: Callable[[StudyFolder], None] | None, verb: str, *args: str) -> None:
        """Have a job learn, and kill something in the middle, or press Ctrl-C."""
        asked = (*STUDIES[study], *LOCAL) if verb == "launch" else (study,)
        folder = self.toy.study(study)
        before = _checkpoint_times(folder)
        process = self.toy.start(verb, "--wait", *asked, *args, "checkpoint.every_seconds=0")
        wait_until(lambda: _checkpoint_times(folder) - before and job_processes(folder))
        if kill is None:
            process.send_signal(signal.SIGINT)
        else:
            kill(folder)
        print(*process.communicate(timeout=300))
        self.toy.wait_for_workers()


def _make_shapes(generator: np.random.Generator) -> Iterator[str]:
    """A table of small images, three kinds of stripes."""
    yield "name,shape," + ",".join(f"p{pixel}" for pixel in range(64))
    for number in range(60):
        pixels = generator.integers(0, 9, 64)
        pixels[8 * (number % 3) :: 9] += 6
        yield f"shape-{number:02d},{number % 3}," + ",".join(map(str, pixels))


def _make_predictions(generator: np.random.Generator) -> Iterator[str]:
    """Those of a model that somebody else has."""
    yield "sample_id,target,split,logit_0,logit_1"
    for number, row in enumerate(generator.normal(size=(12, 2))):
        split = "val" if number < 6 else "test"
        yield f"t{number},{number % 2},{split}," + ",".join(f"{value:.3f}" for value in row)


def _checkpoint_times(study: StudyFolder) -> set[tuple[Path, int]]:
    """The states that have another state behind them, so that training is on its way."""
    found = set()
    for file in study.path.glob("jobs/*/*/previous.ckpt"):
        with suppress(FileNotFoundError):
            found.add((file, file.stat().st_mtime_ns))
    return found


def _kill_workers(study: StudyFolder) -> None:
    """Kill what starts jobs, which end with it."""
    for worker in worker_processes(study):
        with suppress(psutil.NoSuchProcess):
            worker.kill()


# --- keeping it ------------------------------------------------------------------------------------------------------


def pack_project(file: Path) -> None:
    """Put the project into an archive: the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(path for path in PROJECT.rglob("*") if _is_kept(path)):
            archive.addfile(*_make_member(archive, path))
    file.write_bytes(gzip.compress(buffer.getvalue(), mtime=0))


def _is_kept(path: Path) -> bool:
    """Whether a later version may ask for a file: not for what processes were handed and printed.

    Of states, those are kept that training goes on from, and weights that are predicted from.
    """
    if not path.is_file() or _OMITTED_NAMES & set(path.relative_to(PROJECT).parts):
        return False
    finished = path.with_name("fit.json").exists()
    return not (path.name == "previous.ckpt" or (path.name == "last.ckpt" and finished))


def _make_member(archive: tarfile.TarFile, path: Path) -> tuple[tarfile.TarInfo, io.BytesIO]:
    content = anonymise(path.read_bytes())
    member = archive.gettarinfo(path, _NODE_PATTERN.sub(_HOST_NAME, str(path.relative_to(PROJECT.parent))))
    member.size = len(content)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    # What was alive a moment ago would seem to live on, wherever the root is unpacked at once.
    member.mtime = int(member.mtime) - _DAY_S
    return member, io.BytesIO(content)


def anonymise(content: bytes) -> bytes:
    """What a file says, without the names of this machine and of the folders that Seedfold lies in."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    for known in sorted({sys.prefix, sys.base_prefix, str(HERE.resolve().parents[1])}, key=len, reverse=True):
        text = text.replace(known, "/opt/seedfold")
    return re.sub(rf'("host": ?)"{re.escape(os.uname().nodename)}"', rf'\1"{_HOST_NAME}"', text).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="what the root is called: the version that writes it")
    version = parser.parse_args().version
    if PROJECT.parent.exists():
        parser.error(f"{PROJECT.parent} is there; remove it first")
    maker = Maker()
    maker.make()
    asked = {**STUDIES, "scan": (), "away": ()}
    studies = {study: {"asked": args, **describe_study(maker.toy, study, args)} for study, args in asked.items()}
    pack_project(HERE / f"{version}.tar.gz")
    told = {"folder": str(PROJECT), "studies": studies}
    (HERE / f"{version}.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
