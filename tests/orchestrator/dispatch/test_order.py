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


def test_what_has_failed_is_tried_again_after_what_has_not(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it fails again, its stage is given up again, and the other jobs never begin."""
    alike = ("fail_seeds=[0]", "failures.stop_after_identical=3", "cluster.slots=1")
    ended = toy.launch("--wait", *alike, experiment="light")
    assert toy.states("light") == {"failed": 3, "waiting": 3}
    why = (
        "3 jobs wait: the worker began no more after failures.stop_after_identical=3 equal failures: ValueError: seed 0"
    )
    assert why in ended.stdout
    toy.output_of("cancel", "light", "--where", "fold=2")
    said = toy.run_in_process("resume", "light", "--keep-cancelled", "--wait").stdout
    assert toy.states("light") == {"failed": 3, "done": 2, "cancelled": 1}
    began = tuple((toy.data / "executions.txt").read_text().split())[3:]
    assert seeds_and_folds(toy, began) == [(1, 0), (1, 1), (0, 0), (0, 1), (0, 2)]
    advised = [line for line in said.splitlines() if "seedfold resume" in line]
    assert advised
    only_not_cancelled = (
        "seedfold resume light --keep-cancelled (without this option, it also starts the 1 cancelled job)"
    )
    assert all(only_not_cancelled in line for line in advised), said
    install(monkeypatch)
    toy.run_in_process("resume", "light", "cluster.executor=slurm")
    assert seeds_and_folds(toy, submissions(toy)[-1].jobs) == [(1, 2), (0, 0), (0, 1), (0, 2)]
