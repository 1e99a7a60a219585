"""Twelve ways to get a misleading mean, each on a small study: the table shows how many values it has, or the reason.

1 a metric that is NaN, 2 a missing fold, 3 a point taken out of the study, 4 other tasks in each row, 5 a metric that
is defined otherwise, 6 a half-finished study, 7 another number of repetitions per fold, 8 a repeated import, 9 a stale
parent, 10 two data sets, 11 two versions of the code, 12 two versions of an installed package.
"""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toyproject import DEFAULT_CONFIG, Toy

pytestmark = pytest.mark.slow

SCORES = '''
"""Jobs that leave a score: 0.5, more for a higher seed and an easier task; NaN or undefined where they are told so."""

import json

from toy.light import prepare


def run(work):
    prepare(work)
    config = work.config
    score = 0.5 + config["seed"] / 100 + config.get("ease", 0) + config.get("threshold", 0)
    if config["seed"] in config["nan_seeds"]:
        score = float("nan")
    for folder in work.parents.values():
        score += json.loads((folder / "metrics.json").read_text())[0]["value"]
    rows = [{"split": "val", "head": "main", "metric": "score", "value": score}]
    (work.staging / "metrics.json").write_text(json.dumps(rows))
'''


@pytest.fixture
def study(toy: Toy) -> Toy:
    """The project, with jobs that leave scores."""
    (toy.folder / "toy" / "scores.py").write_text(SCORES)
    return toy


def write(toy: Toy, points: str, **settings: str) -> None:
    """Write the study ``scores`` with these axes, or stages."""
    text = "# @package _global_\n" + DEFAULT_CONFIG.replace("toy.light.run", "toy.scores.run") + "nan_seeds: []\n"
    for key, value in settings.items():
        text = text.replace(f"\n{key}: []\n", f"\n{key}: {value}\n")
    toy.write_experiment("scores", f"{text}study: scores\n{points}\n")


def launch(toy: Toy, *args: str, code: int = 0) -> None:
    ended = toy.launch(*args, experiment="scores")
    assert ended.returncode == code, f"{ended.stdout}\n{ended.stderr}"


def shown(toy: Toy, *args: str) -> str:
    return toy.output_of("results", "scores", *args)


def means(toy: Toy, *args: str) -> list[dict[str, Any]]:
    """The aggregates that scripts get."""
    rows = list(csv.DictReader(toy.output_of("results", "scores", *args, "--format", "csv").splitlines()))
    assert all({"n", "expected"} <= set(row) for row in rows)
    return rows


def counts(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["n"], row["expected"]) for row in rows]


def report(toy: Toy) -> str:
    """The text of the report."""
    path = Path(toy.output_of("report", "scores").strip())
    return re.sub(r"<[^>]+>", " ", path.read_text())


def test_nan(study: Toy) -> None:
    write(study, "matrix: {seed: [0, 1, 2]}", nan_seeds="[2]")
    launch(study)
    text = shown(study)
    assert "0.5050 ± 0.0071 (2 of 3)" in text
    assert "seed=2: score is nan" in text
    assert counts(means(study, "--over", "seed")) == [("2", "3")]
    assert {"0.505 ± 0.007 (2 of 3)", "seed=2: score is nan"} <= set(re.split(r"\s{2,}", report(study)))
    assert "1 done job has metrics that are nan: val score" in study.output_of("status", "scores")
    assert "metrics that are nan: val score" in study.output_of("run", "seed=2")


def test_a_job_in_the_foreground_follows_the_policy_for_nan(study: Toy) -> None:
    write(study, "failures: {nan: fail}\nmatrix: {seed: [1, 2]}", nan_seeds="[2]")
    launch(study, code=1)
    assert "nan: NonFiniteFailure: val score is nan" in study.output_of("status", "scores")
    ended = study.run_in_process("run", "seed=2")
    assert ended.returncode == 1
    assert "NonFiniteFailure: val score is nan; failures.nan=keep keeps such results" in ended.stderr
    assert "nan" not in study.output_of("run", "seed=1")


def test_a_missing_fold(study: Toy) -> None:
    write(study, "task: {folds: {k: 3}}\nmatrix: {seed: [0, 1], fold: [0, 1]}", fail_seeds="[1]")
    launch(study, "--where", "seed=0")
    launch(study, "--where", "seed=1 fold=1", code=1)
    text = shown(study)
    assert "(2 of 4)" in text
    assert "seed=1 fold=1: failed (error)" in text
    assert "seed=1 fold=0: not finished (waiting)" in text
    assert "fold 2 of 3 was never planned" in text


def test_a_point_that_was_taken_out(study: Toy) -> None:
    write(study, "matrix: {seed: [0, 1, 90]}")
    launch(study)
    write(study, "matrix: {seed: [0, 1]}")
    launch(study)
    launch(study, "seed=2")
    text = shown(study)
    assert "0.5100 ± 0.0100" in text
    assert "1 job is left out because the last launch removed these points from the study; to list them: --all" in text
    assert "0.7325" in shown(study, "--all")
    assert "3 jobs, 3 done" in study.output_of("status", "scores")
    assert "4 jobs, 4 done" in study.output_of("status", "scores", "--all")
    assert [study.json_of("status", "scores", *more)["removed"] for more in ((), ("--all",))] == [1, 1]
    assert "1 job is left out" in report(study)


def test_other_tasks_in_each_row(study: Toy) -> None:
    write(
        study,
        "sampling: {ratio: 1}\ntask: {name: a}\nease: 0\n"
        "matrix: {seed: [0], sampling.ratio: [1, 10]}\n"
        "zip: [{task.name: [hard, fair, easy], ease: [0.0, 0.1, 0.4]}]\n"
        "exclude: {task.name: easy, sampling.ratio: 10}",
    )
    launch(study)
    rows = means(study, "--by", "sampling.ratio")
    assert counts(rows) == [("2", "3"), ("2", "2")]
    assert rows[0]["mean"] == rows[1]["mean"]
    assert "means over the 2 of 3 values of name that all rows have; without name=easy" in shown(
        study, "--by", "sampling.ratio"
    )


def test_a_metric_that_is_defined_otherwise(study: Toy) -> None:
    write(study, "threshold: 0\nmatrix: {seed: [0, 1]}")
    launch(study)
    launch(study, "seed=2", "threshold=0.4")
    text = shown(study)
    assert re.search(r"threshold +split +n +score", text)
    assert [row["threshold"] for row in means(study, "--over", "seed")] == ["0.0", "0.4"]
    assert counts(means(study, "--over", "seed")) == [("2", "2"), ("1", "1")]


def test_a_half_finished_study(study: Toy) -> None:
    write(study, "matrix: {seed: [0, 1, 2, 3]}")
    launch(study, "--limit", "2")
    text = shown(study)
    assert "(2 of 4)" in text
    assert "seed=2: not finished (waiting)" in text
    assert "(2 of 4)" in report(study)


def test_another_number_of_repetitions_per_fold(study: Toy) -> None:
    write(study, "matrix: {seed: [0, 1, 2], fold: [0, 1]}\nexclude: {seed: 2, fold: 1}")
    launch(study)
    text = shown(study)
    assert re.search(r"\bval +5\b", text)
    assert "fold=0 counts 3 times, fold=1 twice" in text
    assert "fold=0 counts 3 times, fold=1 twice" in report(study)


def test_a_repeated_import(study: Toy) -> None:
    ids = [f"s{number}" for number in range(6)]
    frame = pd.DataFrame({"sample_id": ids, "target": [0, 1] * 3, "logit_0": np.arange(6.0), "logit_1": 2.0})
    frame.to_csv(study.folder / "val.csv", index=False)
    for seed in (0, 0, 1):
        study.output_of("import", "val=val.csv", "--study", "scores", "--set", f"seed={seed}")
    assert counts(means(study, "--over", "seed"))[0] == ("2", "2")
    assert "seed=0 and seed=1: the same predictions, imported twice" in shown(study)


def test_a_stale_parent(study: Toy) -> None:
    write(
        study, "stages:\n  first:\n    matrix: {seed: [0, 1]}\n  second:\n    matrix: {seed: [0, 1]}\n    after: first"
    )
    launch(study)
    launch(study, "--rerun", "seed=0", "--stage", "first")
    assert "1 of 4 done jobs was computed from older results of its parents" in shown(study)
    assert "1 stale" in report(study)


def test_two_data_sets(study: Toy) -> None:
    (study.data / "table.csv").write_text("old")
    write(study, "matrix: {seed: [0, 1]}")
    launch(study)
    (study.data / "table.csv").write_text("new and longer")
    launch(study, "seed=2")
    assert re.search(r"2 of 3 done jobs read data that has changed since \(\S*table\.csv\)", shown(study))
    assert "2 stale" in report(study)


def test_two_versions_of_the_code(study: Toy) -> None:
    write(study, "matrix: {seed: [0, 1]}")
    launch(study)
    file = study.folder / "toy" / "scores.py"
    file.write_text(file.read_text().replace("score = 0.5", "score = 0.7"))
    launch(study, "seed=2")
    text = shown(study)
    assert re.search(r"^ *old +val +2 +0.5050 ± 0.0071", text, re.MULTILINE)
    assert re.search(r"^ *now +val +1 +0.7200", text, re.MULTILINE)
    # The code that gives the higher score is no better method.
    assert "★" not in text
    assert "results of 2 versions of the code (toy/scores.py) are kept apart in the column code" in text
    rows = means(study, "--over", "seed")
    assert [(row["code"], row["n"], row["expected"]) for row in rows] == [("old", "2", "2"), ("now", "1", "1")]
    assert "2 versions of the code (toy/scores.py)" in report(study)


def test_two_versions_of_a_package(study: Toy, tmp_path: Path) -> None:
    site = tmp_path / "env" / "site-packages"
    study.environment["PYTHONPATH"] = str(site)
    file = study.folder / "toy" / "scores.py"
    file.write_text(file.read_text().replace("import json\n", "import json\n\nimport quickmath\n"))
    write(study, "matrix: {seed: [0, 1]}")
    for version, seeds in (("1.0", "0,1"), ("2.0", "2")):
        shutil.rmtree(site, ignore_errors=True)
        (site / f"quickmath-{version}.dist-info").mkdir(parents=True)
        (site / "quickmath.py").write_text("")
        launch(study, f"seed={seeds}")
    line = "results were computed with different versions of installed packages: quickmath 1.0 (2 jobs), 2.0 (1 job)"
    for text in (shown(study), study.output_of("status", "scores"), report(study)):
        assert line in text
    assert "stale" not in shown(study)
