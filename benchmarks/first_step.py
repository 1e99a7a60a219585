"""From dispatch to the first training step: one job after the other on one slot, against submitit's local executor.

The job imports torch and Lightning and takes one step of Adam. For Seedfold, time begins when the job before is done;
for submitit, when the job is submitted.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._figures import Figure, main
from benchmarks._projects import launch, write_study

STEP = '''
import time

# As the training that comes with Seedfold has it: the first optimizer imports torch._dynamo.
PRELOAD = ("torch", "torch._dynamo", "pytorch_lightning")


def first_step(seed):
    """Return when the first step of training is over."""
    import pytorch_lightning
    import torch

    torch.manual_seed(seed)
    network = torch.nn.Linear(30, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(32, 30)).square().mean().backward()
    optimizer.step()
    return time.time()


def run(work):
    (work.staging / "answer.txt").write_text(str(first_step(work.config["seed"])))
'''
SUBMITIT = """
import sys
import time

import submitit
from step import first_step

executor = submitit.LocalExecutor(folder="logs")
for seed in range(int(sys.argv[1])):
    begin = time.time()
    print(executor.submit(first_step, seed).result() - begin)
"""


def seedfold_waits(project: Path, jobs: int) -> list[float]:
    """Return the seconds from the end of each job to the first step of the next."""
    write_study(project, "steps", {"run": "step.run", "matrix": {"seed": f"range(0,{jobs})"}})
    launch(project, "steps", "cluster.slots=1")
    lines = [line for file in project.glob("runs/steps/events/*.jsonl") for line in file.read_text().splitlines()]
    done = sorted(event["t"] for event in map(json.loads, lines) if event["e"] == "done")
    steps = sorted(float(file.read_text()) for file in project.glob("runs/steps/store/*/*/answer.txt"))
    return [step - end for end, step in zip(done[:-1], steps[1:], strict=True)]


def submitit_waits(project: Path, jobs: int) -> list[float]:
    """Return the seconds from each submission to the first step."""
    (project / "peer.py").write_text(SUBMITIT)
    command = [sys.executable, "peer.py", str(jobs)]
    ended = subprocess.run(command, cwd=project, check=True, stdout=subprocess.PIPE, text=True)
    return [float(line) for line in ended.stdout.split()]


def measure(quick: bool) -> list[Figure]:
    """Measure 10 jobs of Seedfold and 3 of submitit."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "step.py").write_text(STEP)
        ours = statistics.median(seedfold_waits(project, 3 if quick else 11))
        theirs = statistics.median(submitit_waits(project, 1 if quick else 3))
    return [Figure("dispatch to first training step", ours, theirs, "submitit local", most=0.1)]


if __name__ == "__main__":
    main(measure)
