"""Jobs that say by `seedfold.current()` what they compute, killed and stopped: everything is in the result once."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path

import pytest
from toyproject import Toy, wait_until

from seedfold.orchestrator.ledger.ledger import Ledger

pytestmark = pytest.mark.slow

STEPS = '''
"""A training of six steps that keeps its own checkpoint. A process that it starts predicts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import seedfold as sf
from toy.light import note

PREDICT = """
import seedfold as sf
run = sf.current()
run.predictions("test", sample_id=["a", "b"], target=[0, 1], logits=[[2.0, 0.0], [0.0, 2.0]])
"""


def run(work):
    run, data = sf.current(), Path(work.config["paths"]["data"])
    note(data / "executions.txt", work.description.id)
    last = run.checkpoint("last")
    first = json.loads(last.read_text())["step"] + 1 if last else 0
    for step in range(first, 6):
        run.log({"val/accuracy": step / 10}, step=step)
        if run.seed == 0 and step == 3 and work.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        while (data / "hold").exists() and step == 3 and not run.stop_requested:
            time.sleep(0.02)
        (run.checkpoints / "last.json").write_text(json.dumps({"step": step}))
        if run.stop_requested:
            run.stop()
    subprocess.run([sys.executable, "-c", PREDICT], check=True)
    (work.staging / "first_step.txt").write_text(str(first))
    os.environ.clear()
'''


@pytest.fixture
def project(toy: Toy) -> Toy:
    (toy.folder / "toy" / "steps.py").write_text(STEPS)
    return toy


def read_epochs(folder: Path) -> list[tuple[str, str]]:
    with (folder / "epochs.csv").open(newline="") as file:
        return [(row["epoch"], row["val/accuracy"]) for row in csv.DictReader(file)]


def check_results(project: Toy, first_steps: list[int]) -> None:
    study = project.study("light")
    folders = sorted(file.parent for file in study.path.glob("store/*/*/result.json"))
    for folder in folders:
        assert read_epochs(folder) == [(str(step), str(step / 10)) for step in range(6)]
        metrics = {
            (one["split"], one["metric"]): one["value"]
            for one in json.loads((folder / "result.json").read_text())["metrics"]
        }
        assert metrics["val", "accuracy"] == 0.5
        assert metrics["test", "accuracy"] == 1.0
    assert sorted(int((folder / "first_step.txt").read_text()) for folder in folders) == first_steps
    assert not list(study.path.glob("jobs/*/*/records"))


def test_a_job_that_is_killed_goes_on_and_has_logged_each_step_once(project: Toy) -> None:
    words = ("run=toy.steps.run", "fold=0")
    assert project.launch("--wait", *words, experiment="light").returncode == 1
    assert project.states("light") == {"done": 1, "failed": 1}
    project.output_of("resume", "light", "--wait")
    check_results(project, [0, 3])


def test_a_job_that_asks_whether_to_stop_is_not_interrupted_and_goes_on_later(project: Toy) -> None:
    """Afterwards, in the foreground, it records into its scratch folder."""
    project.hold_jobs()
    launcher = project.start(
        "launch", "--wait", "--config-dir", "conf", "experiment=light", "run=toy.steps.run", "seed=1", "fold=0"
    )
    study = project.study("light")
    wait_until(lambda: [*study.path.glob("jobs/*/*/records/asks.1")])
    launcher.send_signal(signal.SIGINT)
    launcher.communicate()
    assert launcher.returncode == 130
    project.wait_for_workers()
    ledger = Ledger(study)
    [job] = ledger.plans.jobs
    assert ledger.record_of(job).last_events[1]["e"] == "interrupted"
    project.release_jobs()
    project.output_of("resume", "light", "--wait")
    check_results(project, [4])
    shown = project.run("run", "seed=1", "fold=0", "--study", "light")
    assert shown.returncode == 0, shown.stderr
    scratch = Path(shown.stdout.partition("scratch folder ")[2].split()[0])
    assert read_epochs(scratch / "result") == [(str(step), str(step / 10)) for step in range(6)]


LATE = """
import atexit
from pathlib import Path

from toy.light import note


def run(work):
    atexit.register(note, Path(work.config["paths"]["data"]) / "late.txt", "the end")
    (work.staging / "answer.txt").write_text("1")
"""


def test_what_a_job_has_registered_for_the_end_of_its_process_is_run(toy: Toy) -> None:
    """Loggers write then what they have kept back."""
    (toy.folder / "toy" / "late.py").write_text(LATE)
    ended = toy.launch("run=toy.late.run", "fold=0", experiment="light")
    assert ended.returncode == 0, ended.stderr
    toy.wait_for_workers()
    assert (toy.data / "late.txt").read_text() == "the end\n" * 2
