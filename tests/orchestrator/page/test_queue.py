"""The page asks the scheduler why jobs wait, and does nothing that a command would do about it."""

from __future__ import annotations

import pytest
from page_client import ask, open_page
from scripted_scheduler import ScriptedScheduler, install
from toyproject import Toy, read_files, wait_until


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> ScriptedScheduler:
    return install(monkeypatch)


def test_the_queue_is_looked_at_and_nothing_is_advanced(toy: Toy, scheduler: ScriptedScheduler) -> None:
    assert toy.launch("cluster=slurm", "cluster.settle_s=1", experiment="light").returncode == 0
    scheduler.set_state("pending", "PENDING", reason="it waits for GPUs", expected_start="in about 2 h")
    # A command would find that these tasks are gone, and write down that they failed.
    scheduler.forget(0, 1)
    before = read_files(toy.root)
    page = open_page(toy.root)
    wait_until(lambda: ask(page, "studies/light")["queue"])
    [line] = ask(page, "studies/light")["queue"]
    assert line == "4 jobs queued: it waits for GPUs; the first is expected to start in about 2 h"
    assert ask(page, "studies/light")["states"]["submitted"] == 6
    assert read_files(toy.root) == before


def test_a_scheduler_that_does_not_answer_is_named(toy: Toy, scheduler: ScriptedScheduler) -> None:
    assert toy.launch("cluster=slurm", "cluster.settle_s=1", experiment="light").returncode == 0
    scheduler.is_away = True
    page = open_page(toy.root)
    wait_until(lambda: ask(page, "studies/light")["queue"])
    assert "squeue did not reply" in ask(page, "studies/light")["queue"][0]
