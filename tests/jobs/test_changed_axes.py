"""A study with other axes, without composing again."""

from __future__ import annotations

from pathlib import Path

import pytest

from seedfold.jobs.errors import UsageError
from seedfold.jobs.study import load_study

STUDY = """# @package _global_
defaults: [/solver@solver: sgd]
run: toy.run
lr: 0.1
scale: ${lr}
resources: {cpus: 1, memory: 1GB, time: 5min}
matrix: {seed: [0, 1]}
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name, text in {
        "experiment/tune.yaml": STUDY,
        "solver/sgd.yaml": "name: sgd\nmomentum: ${lr}\n",
        "solver/adam.yaml": "name: adam\nbetas: [0.9, 0.99]\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "axes",
    [
        ("matrix.lr=[0.2]",),
        ("matrix.lr=[0.2,0.3]", "matrix.solver=[adam]"),
        ("matrix.solver=[sgd,adam]", "matrix.seed=[4]"),
        (),
    ],
)
def test_a_study_with_other_axes_has_the_jobs_of_one_that_is_composed_with_them(
    conf: Path, axes: tuple[str, ...]
) -> None:
    study = load_study(["experiment=tune"], config_dirs=[conf])
    assert len(list(study.jobs())) == 2
    expected = list(load_study(["experiment=tune", *axes], config_dirs=[conf]).jobs())
    changed = study.with_axes(axes)
    assert list(changed.jobs()) == expected
    assert changed.count == len(expected)
    assert [stage.axes for stage in changed.stages] == [tuple(expected[0].axes)]
    assert len(list(study.jobs())) == 2, "the study itself stays as it is"


def test_an_axis_counts_more_than_the_value_that_the_study_has_without_it(conf: Path) -> None:
    study = load_study(["experiment=tune", "lr=0.5"], config_dirs=[conf])
    assert {job.config["scale"] for job in study.jobs()} == {0.5}
    assert {job.config["scale"] for job in study.with_axes(["matrix.lr=[0.2]"]).jobs()} == {0.2}


@pytest.mark.parametrize(
    ("override", "words"),
    [("lr=0.2", "only axes can be changed here"), ("experiment=other", "only axes"), ("matrix.nose=[1]", "nose")],
)
def test_what_is_no_axis_is_refused(conf: Path, override: str, words: str) -> None:
    study = load_study(["experiment=tune"], config_dirs=[conf])
    with pytest.raises(UsageError, match=words):
        list(study.with_axes([override]).jobs())
