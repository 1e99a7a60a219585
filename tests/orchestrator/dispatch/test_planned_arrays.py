"""What ``plan`` shows of tasks that jobs share, and of jobs that are not trained together although they are to be."""

from __future__ import annotations

import pytest
from toyproject import Toy

DIGITS = ("plan", "experiment=digits", "model=mlp", "cluster=slurm", "resources.time=10min")


def test_plan_shows_the_tasks_whose_jobs_train_together(toy: Toy) -> None:
    packed = "3 tasks of 8, trained together, each with 1 CPU, 5.0 GB, at most 85 min"
    job = "train: 24 jobs, each with 1 CPU, 4.0 GB, at most 10 min"
    assert f"  {job}; {packed}\n" in toy.output_of(*DIGITS, "fuse=8")
    [array] = toy.json_of(*DIGITS, "fuse=4", "cluster.jobs_per_task=12", "cluster.slots=2")["arrays"]
    shown = {key: array[key] for key in ("jobs", "tasks", "jobs_per_task", "trained_together", "task_cpus")}
    assert shown == {"jobs": 24, "tasks": 2, "jobs_per_task": 12, "trained_together": 4, "task_cpus": 2}
    assert f"  {job}\n" in toy.output_of(*DIGITS)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("trainer.accumulate=2", "trainer.accumulate: 2 is not known to networks that train together"),
        ("resources.gpus=1", "only networks on a CPU train together (resources.gpus)"),
        ("cluster.jobs_per_task=1", "cluster.jobs_per_task=1 gives each job a task of its own"),
        ("resources.time=5h", "two jobs ask for more than 8 h, and auto gives each a task of its own then"),
    ],
)
def test_plan_says_why_jobs_do_not_train_together(toy: Toy, override: str, reason: str) -> None:
    shown = toy.output_of(*DIGITS, "fuse=auto", override)
    assert f"plan: stage train: fuse changes nothing, because {reason}" in shown
    assert "trained together" not in shown


def test_plan_says_which_part_of_a_stage_trains_alone(toy: Toy) -> None:
    study = ("plan", "experiment=breast_cancer", "model=mlp,logistic", "cluster=slurm", "fuse=12")
    assert "plan: stage train: 15 of 30 jobs train alone, because model: an estimator is no network" in toy.output_of(
        *study
    )
    arrays = toy.json_of(*study)["arrays"]
    assert [(array["jobs"], array["tasks"], array["trained_together"]) for array in arrays] == [
        (8, 1, 8),
        (7, 1, 7),
        (15, 15, 1),
    ]
