"""The study on which faults are tried: six light jobs and two that put them together, in a project of its own.

A job works in steps of some hundredths of a second, keeps a checkpoint, and writes predictions. Each step is noted in a
file outside the root, with the time of the clock that all processes of this machine share: it shows afterwards which
processes computed at the same time.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

STUDY = "drill"
JOBS = 8
STEPS = 8
SHARED_GROUP = 100
"""The group of users who share a root; on Debian it is called users."""
SILENT_S = 5.0
"""How long a worker on another host may be silent before it counts as dead."""
HEARTBEAT_S = 0.5

JOB_MODULE = '''
"""Jobs that sleep more than they compute."""

import json
import os
import time

import numpy as np

import seedfold
from seedfold.jobs.work import RunInterrupted

PRELOAD = (
    "seedfold.results.recording.batch_heads",
    "seedfold.results.recording.collect",
    "seedfold.results.recording.prediction_parts",
    "seedfold.results.store.metrics",
    "seedfold.results.store.predictions",
)


def note(work, step):
    """Append a line, whole, beside other processes."""
    job = work.description.id
    line = json.dumps({"job": job, "n": work.attempt, "pid": os.getpid(), "step": step, "t": time.monotonic()})
    handle = os.open(os.environ["DRILL_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(handle, (line + chr(10)).encode())
    os.close(handle)


def train(work):
    """Predict what follows from a sum of random numbers, one number a step; the checkpoint has all sums so far."""
    run, steps = seedfold.current(), work.config["steps"]
    last = run.checkpoint("last")
    sums = [] if last is None else json.loads(last.read_text())
    for step, known in enumerate(sums):
        run.log({"sum": known}, step=step)
    for step in range(len(sums), steps):
        note(work, step)
        time.sleep(float(os.environ["DRILL_STEP_S"]))
        number = np.random.default_rng([run.seed, run.fold, step]).normal()
        sums.append((sums[-1] if sums else 0.0) + number)
        run.log({"sum": sums[-1]}, step=step)
        keep(run.checkpoints / "last.json", sums)
        if work.stop_requested():
            raise RunInterrupted(f"stopped after step {step}")
    note(work, steps)
    for split in ("val", "test"):
        predict(run, split, sums[-1])


def keep(file, state):
    """Replace the checkpoint."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(state))
    temporary.replace(file)


def predict(run, split, shift):
    """A few predictions, which depend on every step of the training."""
    ids = [f"{split}{number}" for number in range(12)]
    targets = np.arange(12) % 3
    logits = np.random.default_rng([run.seed, run.fold, len(split)]).normal(size=(12, 3)) + shift
    logits[np.arange(12), targets] += 1.0
    run.predictions(split, sample_id=ids, target=targets, logits=logits.astype(np.float32))


def total(work):
    """Add up the sums of all parents."""
    note(work, 0)
    sums = {}
    for parent, folder in work.parents.items():
        record = json.loads((folder / "result.json").read_text())
        sums[parent] = [metric for metric in record["metrics"] if metric["metric"] == "accuracy"]
    (work.staging / "total.json").write_text(json.dumps(sums, sort_keys=True))
    note(work, 1)
'''

EXPERIMENT = """\
# @package _global_
study: {study}
steps: {steps}
fold: 0
resources: {{cpus: 1, memory: 100MB, time: 5min}}
cluster: {{silent_s: {silent_s}, grace_s: 3, slots: 3}}
failures:
  stop_after_identical: 100
  kinds:
    node: {{retries: 3, wait_s: 0.1}}
    disk: {{retries: 20, wait_s: 0.5}}
stages:
  train:
    run: drill.jobs.train
    matrix: {{seed: [0, 1], fold: "range(0,3)"}}
  total:
    run: drill.jobs.total
    matrix: {{seed: [0, 1]}}
    after: train
"""

CONSTANTS = {
    "seedfold.orchestrator.ledger.claims": {"_RECENT_S": 2 * SILENT_S},
    "seedfold.orchestrator.ledger.file_system_clock": {"_VALID_S": 2.0},
    "seedfold.orchestrator.ledger.past_caches": {"_LONGEST_CACHE_S": 1.0},
    "seedfold.orchestrator.ledger.slot_waits": {"_FULL_MARK_VALID_S": 3.0},
    "seedfold.orchestrator.settings.cluster": {"HEARTBEAT_S": HEARTBEAT_S, "_MIN_SILENT_S": 3 * HEARTBEAT_S},
    "seedfold.orchestrator.worker.exit_failure": {"_TASK_KILL_S": 1.0},
    "seedfold.orchestrator.worker.heartbeat": {"HEARTBEAT_S": HEARTBEAT_S},
    "seedfold.orchestrator.worker.storage_wait": {"_LOOK_EVERY_S": 0.5, "_PAUSE_S": 0.2},
    "seedfold.orchestrator.worker.worker": {"HEARTBEAT_S": HEARTBEAT_S, "MESSAGE_WAIT_S": 0.2},
    "seedfold.results.store.passing_errors": {"PATIENCE_S": 3.0},
}
"""Times that no setting says, made as short as the jobs of this study are, by module."""

SITECUSTOMIZE = '''
"""Shorten times that no setting says, and shift the clock of this host, in every process that Python starts."""

import importlib.abc
import importlib.machinery
import json
import os
import sys
import time

CONSTANTS = json.loads(os.environ.get("DRILL_CONSTANTS", "{}"))
SHIFT_S = float(os.environ.get("DRILL_CLOCK_SHIFT_S", "0"))


def apply(module):
    for name, value in CONSTANTS.get(module.__name__, {}).items():
        if hasattr(module, name):
            setattr(module, name, value)
    getattr(module, "restore_patience", int)()  # It was made when the module was imported.


class Finder(importlib.abc.MetaPathFinder):
    """Finds what others find, and has the constants changed after the module was executed."""

    def find_spec(self, name, path=None, target=None):
        if name not in CONSTANTS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                apply(module)

            spec.loader.exec_module = exec_module
        return spec


def shift_clock():
    """Have this process believe that it is another time. Times of files are those of the file server."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + SHIFT_S
    time.time_ns = lambda: real_ns() + int(SHIFT_S * 1e9)


sys.meta_path.insert(0, Finder())
for name in CONSTANTS:
    if name in sys.modules:
        apply(sys.modules[name])
if SHIFT_S:
    shift_clock()
'''


@dataclass(frozen=True, slots=True)
class Note:
    """A step that attempt ``n`` at a job began, in the process ``pid``, at the time ``t`` of the monotonic clock."""

    job: str
    n: int
    pid: int
    step: int
    t: float


@dataclass(frozen=True)
class Project:
    """The project, the root and the hosts' own folders, all in ``folder``."""

    folder: Path
    has_own_hosts: bool

    @property
    def work_folder(self) -> Path:
        """Where commands are typed."""
        return self.folder / "project"

    @property
    def root(self) -> Path:
        """Where commands see the root; hosts of their own have their view of ``server`` here."""
        return self.folder / "runs"

    @property
    def server(self) -> Path:
        """Where the files of the root really are."""
        return self.folder / "server" if self.has_own_hosts else self.root

    @property
    def study_folder(self) -> Path:
        """The folder of the study, as it is without any cache."""
        return self.server / STUDY

    @property
    def notes_file(self) -> Path:
        """Where jobs note their steps."""
        return self.folder / "notes.jsonl"

    @property
    def launch_command(self) -> tuple[str, ...]:
        """The arguments that launch the study."""
        return ("launch", "--config-dir", "conf", f"experiment={STUDY}", "--detach")

    def environment(self, host: str, clock_shift_s: float = 0.0, step_s: float = 0.05) -> dict[str, str]:
        """What processes of a host have in their environment, beside what this process has.

        Each host has a home and a temporary folder of its own.
        """
        return {
            "SEEDFOLD_ROOT": str(self.root),
            "HOME": str(self.folder / host / "home"),
            "TMPDIR": str(self.folder / host / "tmp"),
            "PYTHONPATH": str(self.folder / "site"),
            "DRILL": str(self.folder),
            "DRILL_HOST": host,
            "DRILL_NOTES": str(self.notes_file),
            "DRILL_STEP_S": str(step_s),
            "DRILL_CONSTANTS": json.dumps(CONSTANTS),
            "DRILL_CLOCK_SHIFT_S": str(clock_shift_s),
        }

    def notes(self) -> list[Note]:
        """Every step that a job began, in the order in which they were written."""
        return [Note(**json.loads(line)) for line in self.notes_file.read_text().splitlines()]


def write_project(folder: Path, has_own_hosts: bool, is_shared: bool = False) -> Project:
    """Write the project into an empty folder; without hosts of their own, the root is no mount.

    Several users can share a root that ``is_shared``.
    """
    project = Project(folder, has_own_hosts)
    for made in (project.work_folder / "drill", project.work_folder / "conf" / "experiment", folder / "site"):
        made.mkdir(parents=True)
    for made in {project.root, project.server}:
        made.mkdir()
    if is_shared:
        os.chown(project.root, -1, SHARED_GROUP)
        project.root.chmod(0o2775)
    project.notes_file.touch()
    project.notes_file.chmod(0o666)
    (project.work_folder / "drill" / "__init__.py").write_text("")
    (project.work_folder / "drill" / "jobs.py").write_text(JOB_MODULE)
    text = EXPERIMENT.format(study=STUDY, steps=STEPS, silent_s=SILENT_S)
    (project.work_folder / "conf" / "experiment" / f"{STUDY}.yaml").write_text(text)
    (folder / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return project
