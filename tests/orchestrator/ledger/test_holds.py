"""When a job is held: the latest word counts, whoever said it and in whatever order it is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedfold.orchestrator.ledger.events import is_event
from seedfold.orchestrator.ledger.holds import Hold
from seedfold.orchestrator.ledger.ledger import JobRecord

Said = tuple[str, int]
KINDS = st.sampled_from(["held", "released", "cancelled", "resumed"])
HISTORIES = st.lists(st.tuples(KINDS, st.integers(0, 9)), max_size=8, unique_by=lambda said: said[1])


def record_of(*said: Said) -> JobRecord:
    record = JobRecord()
    for kind, time in said:
        record.add_event({"e": kind, "t": float(time), "n": 1})
    return record


@given(HISTORIES, st.randoms())
def test_the_latest_word_counts_in_whatever_order_it_is_read(said: list[Said], random: Any) -> None:
    shuffled = random.sample(said, len(said))
    words = [kind for kind, _ in sorted(said, key=lambda one: one[1]) if kind != "resumed"]
    assert (record_of(*shuffled).hold is not None) == (words[-1:] == ["held"])


@pytest.mark.parametrize(("done_at", "is_held"), [(1, True), (3, False)])
def test_a_job_that_was_just_beginning_is_held_until_it_is_done(done_at: int, is_held: bool) -> None:
    record = record_of(("held", 2), ("done", done_at))
    assert (record.hold is not None) == is_held


def test_a_hold_says_which_jobs_are_the_pilot() -> None:
    record = JobRecord()
    record.add_event({"e": "held", "t": 1.0, "n": 0, "pilots": ["a"], "auto": True})
    assert record.hold == Hold(["a"], is_auto=True)


@pytest.mark.parametrize(
    ("details", "is_sound"), [({}, True), ({"pilots": ["a"]}, True), ({"pilots": "a"}, False), ({"pilots": [1]}, False)]
)
def test_damaged_holds_are_told_apart(details: dict[str, Any], is_sound: bool) -> None:
    assert is_event({"e": "held", "t": 1.0, "jobs": {"b": 0}, **details}) == is_sound
