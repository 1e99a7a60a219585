"""Values that a stage found out, in the configuration of the stages after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toyproject import Toy

ESTIMATES = """
import json

from seedfold.results.store.values import write_values


def estimate(work):
    least = int((work.folder.parents[4] / "data" / "least.txt").read_text())
    ratio = work.config["ratio"]
    if ratio > least:
        write_values(work.staging, {"blocked": f"ratio {ratio} leaves a class with too few samples"})
    else:
        write_values(work.staging, {"weights": {"acc": [1.0 / ratio, 1.0]}, "method": "acc"})


def train(work):
    assert work.parent("estimate").is_dir()
    (work.staging / "answer.txt").write_text(json.dumps([work.config["weights"], work.config["note"]]))


def analyse(work):
    (work.staging / "answer.txt").write_text(str(len(work.parents_in("train"))))
"""

STUDY = """# @package _global_
study: late
paths: {data: data}
weights: []
note: ""
ratio: 1
resources: {cpus: 1, memory: 1GB, time: 5min}
stages:
  estimate:
    run: toy.estimates.estimate
    matrix: {ratio: [1, 2, 4]}
  train:
    run: toy.estimates.train
    matrix: {ratio: [1, 2, 4]}
    after: estimate
    derive:
      weights: {_target_: seedfold.jobs.derive.given, value: "${result:estimate,weights.acc}"}
      note: {_target_: seedfold.jobs.derive.given, value: "by ${result:estimate,method}"}
  analyse:
    run: toy.estimates.analyse
    matrix: {note: [all]}
    after: train
"""


def answers(toy: Toy, stage: str) -> dict[str, str]:
    """What the jobs of a stage wrote, by the axes of the job."""
    found = {}
    for file in sorted(toy.study("late").path.glob("store/*/*/answer.txt"), key=lambda file: file.stat().st_mtime):
        result = json.loads((file.parent / "result.json").read_text())
        if result["stage"] == stage:
            found[json.dumps(result["axes"])] = file.read_text()
    return found


def resolved(toy: Toy) -> list[dict[str, object]]:
    files = map(Path.read_text, toy.study("late").path.glob("store/*/*/result.json"))
    return [result["resolved"] for result in map(json.loads, files) if result["resolved"]]


@pytest.mark.slow
def test_values_of_a_stage_reach_the_next_and_a_verdict_blocks_without_failing(toy: Toy) -> None:
    (toy.folder / "toy" / "estimates.py").write_text(ESTIMATES)
    toy.write_experiment("late", STUDY)
    (toy.folder / "data" / "least.txt").write_text("2")
    launched = toy.launch("--wait", experiment="late")
    assert launched.returncode == 0, launched.stderr
    assert toy.states("late") == {"done": 6, "blocked": 1}
    assert answers(toy, "train") == {
        '{"ratio": 1}': '[[1.0, 1.0], "by acc"]',
        '{"ratio": 2}': '[[0.5, 1.0], "by acc"]',
    }
    assert answers(toy, "analyse") == {'{"note": "all"}': "2"}
    assert {"weights": [0.5, 1.0], "note": "by acc"} in resolved(toy)
    assert "ratio 4 leaves a class with too few samples" in toy.output_of("status", "late")
    assert "nothing to do" in toy.output_of("launch", "--config-dir", "conf", "experiment=late", "--wait")

    wrong = toy.launch("--rerun", "ratoi=4", experiment="late")
    assert wrong.returncode == 2
    assert "ratoi" in wrong.stderr
    (toy.folder / "data" / "least.txt").write_text("4")
    toy.output_of("launch", "--config-dir", "conf", "experiment=late", "--wait", "--rerun", "ratio=4")
    assert toy.states("late") == {"done": 7}
    assert answers(toy, "train")['{"ratio": 4}'] == '[[0.25, 1.0], "by acc"]'
    assert answers(toy, "analyse") == {'{"note": "all"}': "3"}
