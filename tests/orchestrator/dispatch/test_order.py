"""The order of a study is that of its arrays, of a worker on this machine, and of its pilot."""

from __future__ import annotations

import pytest
from scripted_scheduler import install, submissions
from toyproject import Toy

from seedfold.orchestrator.ledger.ledger import Ledger


def seeds_and_folds(toy: Toy, jobs: tuple[str, ...]) -> list[tuple[int, int]]:
    planned = Ledger(toy.study("light")).plans.jobs
    return [(planned[job].axes["seed"], planned[job].axes["fold"]) for job in jobs]


def test_arrays_and_pilots_follow_the_order(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    arguments = ("cluster=slurm", "order=[-fold,-seed]", "--pilot", "2")
    assert toy.launch(*arguments, experiment="light").returncode == 0
    first, rest = (seeds_and_folds(toy, one.jobs) for one in submissions(toy))
    assert first == [(1, 2), (0, 2)]
    assert rest == [(1, 1), (0, 1), (1, 0), (0, 0)]


def test_a_worker_begins_jobs_in_the_order_and_another_order_makes_no_new_jobs(toy: Toy) -> None:
    ordered = toy.launch("order=['fold=1','-seed']", "cluster.slots=1", experiment="light")
    assert ordered.returncode == 0, ordered.stderr
    began = tuple((toy.data / "executions.txt").read_text().split())
    assert seeds_and_folds(toy, began) == [(1, 1), (0, 1), (1, 0), (1, 2), (0, 0), (0, 2)]
    assert "nothing to start" in toy.launch("order=[seed]", experiment="light").stdout
