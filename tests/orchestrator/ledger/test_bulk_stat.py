"""Results are missed when they are gone, however they are looked at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from toyproject import Toy

from seedfold.orchestrator.ledger import bulk_stat
from seedfold.orchestrator.ledger.bulk_stat import StoreListing, prefetch_stats
from seedfold.orchestrator.state import job_states


def a_result(toy: Toy) -> Path:
    return next((toy.study().path / "store").glob("*/*"))


def test_a_listing_knows_what_is_there(finished: Toy) -> None:
    job, _, attempt = a_result(finished).name.partition(".")
    listing = StoreListing()
    assert listing.has_result(finished.study(), job, int(attempt))
    assert not listing.has_result(finished.study(), job, int(attempt) + 1)
    assert not listing.has_result(finished.study("other"), job, int(attempt))


def test_an_old_result_that_is_gone_is_lost(done: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_states, "RECENT_S", -60)
    assert done.states() == {"done": 6}
    shutil.rmtree(a_result(done))
    assert done.states() == {"done": 5, "lost": 1}


def test_files_of_an_old_result_are_looked_at_before_anything_is_started(
    done: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    next(a_result(done).glob("predictions.*")).unlink()
    assert done.states() == {"done": 5, "lost": 1}
    monkeypatch.setattr(job_states, "RECENT_S", -60)
    assert done.plan()["stages"]["train"]["lost"] == 1


def test_every_file_is_looked_up_where_that_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [str(tmp_path / str(number)) for number in range(1200)]
    asked: list[str] = []

    def note(path: Any) -> None:
        asked.append(path)
        raise FileNotFoundError(path)

    monkeypatch.setattr(bulk_stat.os, "stat", note)
    monkeypatch.setattr(bulk_stat, "_SLOW_S", -1.0)
    prefetch_stats(names, lambda name: [name])
    assert set(asked) == set(names)
    asked.clear()
    monkeypatch.setattr(bulk_stat, "_SLOW_S", 60.0)
    prefetch_stats(names, lambda name: [name])
    assert 0 < len(asked) < 100
