"""A small project of a user's own: a package whose jobs need no torch, its studies, and the command run beside it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from command_server import ForkingSys, forked_command, training_command, training_python, worker_python

from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity

SEEDFOLD = Path(sys.executable).with_name("seedfold")
WAIT_S = 240.0
"""How long tests wait for what comes at once on an idle machine: it may be many times as slow for a while."""

LIGHT_MODULE = '''
"""Jobs that take milliseconds and import nothing: they fail, sleep or die where the configuration says so."""

import os
import signal
import time
from pathlib import Path

from seedfold.jobs.work import DataFailure, RunInterrupted


def run(work):
    """Write an answer; see the experiment's file for how to make it misbehave."""
    prepare(work)
    (work.staging / "answer.txt").write_text(str(work.config["seed"] * work.config["signal"]))


def summary(work):
    """Count the files of all parents."""
    files = [name for folder in work.parents.values() for name in os.listdir(folder) if name != "result.json"]
    (work.staging / "summary.txt").write_text(f"{len(files)} files of {len(work.parents)} parents")


def prepare(work):
    """Count this execution, say something, read what there is, misbehave and sleep."""
    config, data = work.config, Path(work.config["paths"]["data"])
    note(data / "executions.txt", work.description.id)
    print(f"seed {config['seed']}, attempt {work.attempt}", flush=True)
    if (data / "table.csv").exists():
        work.reads(data / "table.csv")
    misbehave(config, data)
    sleep(work, config["sleep_s"])


def note(file, text):
    """Append a line, whole, beside other processes."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, (text + chr(10)).encode())
    os.close(handle)


def misbehave(config, data):
    """Raise, die or hang, as told."""
    seed = config["seed"]
    if seed in config["fail_seeds"]:
        raise ValueError(f"seed {seed} is an unlucky one")
    if (data / f"broken-{seed}").exists():
        raise DataFailure(f"{data / f'broken-{seed}'}: is in the way")
    if seed in config["die_seeds"]:
        os.kill(os.getpid(), signal.SIGKILL)
    while seed in config["deaf_seeds"]:
        time.sleep(0.05)


def sleep(work, seconds):
    """Sleep, and as long as data/hold is there; an interrupted job keeps how far it came, and sleeps what is left."""
    slept, hold = work.folder / "slept.txt", Path(work.config["paths"]["data"]) / "hold"
    # Empty if the job was killed between opening and writing it.
    done = float((slept.read_text() if slept.exists() else "") or 0.0)
    while done < seconds or hold.exists():
        time.sleep(0.02)
        done += 0.02
        slept.write_text(str(done))
        work.progress(int(100 * min(done, seconds)), int(100 * seconds))
        if work.stop_requested():
            raise RunInterrupted(f"slept {done:.2f} s")
'''

WORK_MODULE = '''
"""Jobs that write predictions, and otherwise are as those of `toy.light`."""

import numpy as np

from seedfold.results.store.predictions import write_predictions
from toy.light import prepare

PRELOAD = ("numpy.random", "seedfold.results.store.metrics", "seedfold.results.store.predictions")
CLASSES = 3


def run(work):
    """Predict, with more noise for a smaller `signal`."""
    prepare(work)
    config = work.config
    noise = np.random.default_rng([config["seed"], config["fold"]])
    ids = [f"s{number:03d}" for number in range(config["samples"])]
    splits = {"val": ids[config["fold"] :: 3], "test": [f"t{number:03d}" for number in range(config["samples"])]}
    for split, names in splits.items():
        targets = np.arange(len(names)) % CLASSES
        logits = noise.normal(size=(len(names), CLASSES)) + config["signal"] * np.eye(CLASSES)[targets]
        write_predictions(
            work.staging,
            split,
            job=work.description,
            sample_ids=names,
            targets=targets,
            logits={"class": logits.astype(np.float32)},
            expected=names,
        )
'''

DEFAULT_CONFIG = """
run: toy.light.run
samples: 30
fold: 0
# How well the predictions are told from noise.
signal: 2.0
# Seconds that a job sleeps before it predicts.
sleep_s: 0.0
# Seeds whose jobs raise an error, kill themselves, or hang and hear no signal.
fail_seeds: []
die_seeds: []
deaf_seeds: []
trainer:
  max_steps: 100
# data/broken-SEED makes a job of that seed fail, data/table.csv is read by all, data/executions.txt counts; while
# data/hold is there, jobs sleep.
paths:
  data: data
resources: {cpus: 1, memory: 1GB, time: 5min}
"""

LIGHT_STUDY = "# @package _global_\n" + DEFAULT_CONFIG + "study: light\nmatrix:\n  seed: [0, 1]\n  fold: range(0,3)\n"
TOY_STUDY = LIGHT_STUDY.replace("toy.light.run", "toy.work.run").replace("study: light", "study: toy")

CHAIN_STUDY = (
    "# @package _global_\n"
    + DEFAULT_CONFIG
    + """study: chain
stages:
  fit:
    matrix: {seed: [0, 1], fold: [0, 1]}
  sum:
    run: toy.light.summary
    matrix: {seed: [0, 1]}
    after: fit
"""
)


def printed_by(ended: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed, which has to have succeeded."""
    assert ended.returncode == 0, f"{ended.args}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@dataclass(frozen=True)
class Toy:
    """The project in ``folder``, with studies that run under ``root``.

    ``toy`` has 6 jobs that write predictions, ``light`` 6 that take no time, ``chain`` 4 light ones, then 2.
    """

    folder: Path
    root: Path
    environment: dict[str, str] = field(repr=False)
    forked_worker: Callable[[], Path] | None = worker_python
    """The Python of workers that `run_in_process` starts on this machine; None if they are no forks."""

    @property
    def data(self) -> Path:
        """The folder that the jobs call ``paths.data``."""
        return self.folder / "data"

    def study(self, name: str = "toy") -> StudyFolder:
        """The folder of a study under the root."""
        return Root(self.root).study_folder(name)

    def run(
        self, *args: str, timeout: float = 300, program: Path = SEEDFOLD, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the installed command in the project's folder, without a terminal."""
        return subprocess.run(
            [program, *args],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def run_in_process(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command as `seedfold` does, but within this process, which has imported everything already."""
        from seedfold.orchestrator.cli.group import cli
        from seedfold.orchestrator.dispatch import doctor
        from seedfold.orchestrator.schedulers import local

        imported = set(sys.modules)
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "path", [*sys.path])
            if self.forked_worker is not None:
                patch.setattr(local, "sys", ForkingSys(self.forked_worker))
                # It asks a Python of its own what PyTorch sees.
                patch.setattr(doctor, "sys", ForkingSys(training_python))
            with pytest.raises(SystemExit) as exit:
                cli(args)
        self._forget_modules(sys.modules.keys() - imported)
        texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
        return subprocess.CompletedProcess(["seedfold", *args], int(exit.value.code or 0), *texts)

    def _forget_modules(self, names: Iterable[str]) -> None:
        """Have the next project, whose modules have the same names, import its own."""
        for name in names:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(f"{self.folder}/"):
                del sys.modules[name]

    def output_of(self, *args: str) -> str:
        """Run the command, which has to succeed; return what it printed."""
        return printed_by(self.run_in_process(*args))

    def trained_output_of(self, *args: str) -> str:
        """Run the command, whose jobs need PyTorch and find it imported, and which has to succeed."""
        return printed_by(self.run(*args, program=training_command()))

    def json_of(self, *args: str) -> Any:
        """Run the command with ``--json``; return what it printed."""
        return json.loads(self.output_of(*args, "--json"))

    def launch(self, *args: str, experiment: str = "toy") -> subprocess.CompletedProcess[str]:
        """``seedfold launch --config-dir conf experiment=…``."""
        return self.run_in_process("launch", "--config-dir", "conf", f"experiment={experiment}", *args)

    def plan(self, *args: str, experiment: str = "toy") -> Any:
        """``seedfold plan --json --config-dir conf experiment=…``, read."""
        return self.json_of("plan", "--config-dir", "conf", f"experiment={experiment}", *args)

    def start(self, *args: str, program: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        """Start the command, by default a fork, in a session of its own, and do not wait for it."""
        return subprocess.Popen(
            [program or forked_command(), *args],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            # Tests that were started in the background would have it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def hold_jobs(self) -> None:
        """Have jobs that begin, or sleep already, sleep until `release`, however long a test takes meanwhile."""
        (self.data / "hold").touch()

    def release_jobs(self) -> None:
        """Let the jobs go on that wait for it."""
        (self.data / "hold").unlink()

    def states(self, study: str = "toy") -> dict[str, int]:
        """The study's counts by state, without those that are zero; none while its jobs are not planned yet."""
        if not self.study(study).is_planned:
            return {}
        return {state: count for state, count in self.json_of("status", study)["states"].items() if count}

    def executions(self) -> dict[str, int]:
        """How often each job's code has been entered, by job id."""
        file = self.data / "executions.txt"
        lines = file.read_text().split() if file.exists() else []
        return {job: lines.count(job) for job in set(lines)}

    def write_experiment(self, name: str, text: str) -> None:
        """Write ``conf/experiment/NAME.yaml``."""
        (self.folder / "conf" / "experiment" / f"{name}.yaml").write_text(text)

    def wait_for_workers(self) -> None:
        """Wait until nothing that was started writes any more: a worker ends a moment after its last job."""
        wait_until(lambda: not any(self._workers_alive()))

    def _workers_alive(self) -> Iterator[bool]:
        for file in self.root.glob("*/submissions/*/submitted.json"):
            process = json.loads(file.read_text())["process"]
            yield ProcessIdentity(**process).liveness() == "alive"

    def kill_workers(self) -> None:
        """Kill every worker of every study under the root, and thereby its jobs."""
        for study in Root(self.root).study_folders():
            for submission in Ledger(study).live_submissions:
                worker = submission.worker_process()
                if worker is not None:
                    worker.send_signal(signal.SIGKILL)


def read_files(folder: Path) -> Mapping[str, bytes]:
    """Every file below a folder with its content, for comparisons before and after."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def wait_until(
    condition: Callable[[], object],
    seconds: float = WAIT_S,
    describe: Callable[[], str] = lambda: "",
    pause_s: float = 0.05,
) -> None:
    """Wait until ``holds()`` is true; fail when it is not after that many seconds, and tell the situation then.

    ``pause_s`` is the time between two looks: longer where a look costs more than a glance at a file.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in time\n{describe()}"
        time.sleep(pause_s)


def wait_for_output(process: subprocess.Popen[str], text: str, stream_name: str = "stdout") -> None:
    """Wait until a process has printed a line with this text; what it had printed before is gone."""
    stream = getattr(process, stream_name)
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        lines.append(stream.readline())
        assert lines[-1], f"ended with {process.wait()} and never said {text!r}: {lines}"


def make_toy(folder: Path) -> Toy:
    """Write the project into ``folder``."""
    for name in ("toy", "conf/experiment", "data", "home", "tmp"):
        (folder / name).mkdir(parents=True)
    (folder / "toy" / "__init__.py").write_text("")
    (folder / "toy" / "light.py").write_text(LIGHT_MODULE)
    (folder / "toy" / "work.py").write_text(WORK_MODULE)
    (folder / "conf" / "experiment" / "toy.yaml").write_text(TOY_STUDY)
    (folder / "conf" / "experiment" / "light.yaml").write_text(LIGHT_STUDY)
    (folder / "conf" / "experiment" / "chain.yaml").write_text(CHAIN_STUDY)
    # A temporary folder of its own keeps the places for jobs apart from those of other tests on this machine.
    environment = {"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
    return Toy(folder, folder / "runs", {**os.environ, **environment, "COLUMNS": "100"})
