"""What cancelling says of jobs that run, and of those that are done in the meantime."""

from __future__ import annotations

import os
import signal

import pytest
from toyproject import Toy, wait_until

from seedfold.orchestrator.dispatch import cancel as module
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.owners import owner_name


def test_what_was_done_in_the_meantime_is_not_called_cancelled(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are at work when it looks, and done when it has written that they are cancelled."""

    class SlowWriter(EventWriter):
        def append(self, event: str, **details: object) -> None:
            toy.release_jobs()
            wait_until(lambda: sum(1 for _ in Ledger(toy.study("light")).done_events()) == 1)
            super().append(event, **details)

    monkeypatch.setattr(module, "EventWriter", SlowWriter)
    toy.hold_jobs()
    assert toy.launch("--detach", "seed=0", "fold=0", "sleep_s=0.1", experiment="light").returncode == 0
    wait_until(lambda: toy.states("light") == {"running": 1})
    cancelled = module.cancel(Root(toy.root), "light")
    assert (cancelled.jobs, cancelled.running) == ((), ())
    assert toy.states("light") == {"done": 1}


def test_what_still_runs_is_told_apart_and_so_is_whose_it_was(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.hold_jobs()
    assert toy.launch("--detach", "seed=0", "cluster.slots=1", experiment="light").returncode == 0
    wait_until(lambda: toy.states("light").get("running") == 1)
    worker = Ledger(toy.study("light")).live_submissions[0].worker_process()
    assert worker is not None
    worker.send_signal(signal.SIGSTOP)
    me = os.getuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: me + 1)
        said = toy.output_of("cancel", "light")
    assert f"{owner_name(toy.folder)} had submitted 3 of them" in said
    assert "cancelled 3 jobs" in said
    assert "1 of them still runs and will be stopped; a job that is done before that stays done" in said
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: toy.states("light") == {"cancelled": 3})
