"""`seedfold run JOB --check-resume`: a job whose result depends on being killed is told from one whose does not."""

from __future__ import annotations

import pytest
from toyproject import Toy

STEPS = '''
"""A training of a few steps with a checkpoint after each; ``forgetful`` does not keep its sum."""

import json
import time

import seedfold as sf


def train(forgetful, stops=True):
    run = sf.current()
    last = run.checkpoint("last")
    state = json.loads(last.read_text()) if last else {"step": 0, "sum": 0}
    if forgetful:
        state["sum"] = 0
    for step in range(state["step"], 4):
        state = {"step": step + 1, "sum": state["sum"] + step + 1}
        run.log({"sum": state["sum"]}, step=step)
        temporary = run.checkpoints / "new.json"
        temporary.write_text(json.dumps(state))
        if stops:
            temporary.rename(run.checkpoints / "last.json")
        time.sleep(0.3)


def steady(work):
    train(forgetful=False)


def forgetful(work):
    train(forgetful=True)


def without(work):
    train(forgetful=False, stops=False)
'''


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "code", "told"),
    [
        ("steady", 0, "after a kill the result is the same, bit by bit: run/checkpoints/last.json, epochs.csv"),
        ("forgetful", 1, "run/checkpoints/last.json: the bytes differ"),
        ("without", 1, "the job left no checkpoint before its end, so it was not killed; log "),
    ],
)
def test_a_job_is_killed_at_its_first_checkpoint_and_compared(toy: Toy, run: str, code: int, told: str) -> None:
    (toy.folder / "toy" / "steps.py").write_text(STEPS)
    words = ("--config-dir", "conf", "experiment=light", f"run=toy.steps.{run}", "seed=1", "fold=0")
    toy.output_of("plan", *words, "--jobs", "jobs.jsonl")
    [job] = (toy.folder / "jobs.jsonl").read_text().splitlines()
    prefix = job.partition('"id": "')[2][:12] or job.partition('"id":"')[2][:12]
    shown = toy.run("run", prefix, "--jobs", "jobs.jsonl", "--check-resume")
    assert shown.returncode == code, shown.stderr
    assert told in shown.stdout + shown.stderr
