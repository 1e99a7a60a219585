from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from seedfold.orchestrator.ledger.ledger import JobRecord

ENDS = ("started", "interrupted", "failed", "done")


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events of a job's attempts: each starts, and may end in some ways that were told by several witnesses."""
    events: list[dict[str, Any]] = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        events.append({"e": "started", "n": number, "t": number})
        ends = draw(st.lists(st.sampled_from(ENDS[1:]), max_size=2))
        events += [{"e": end, "n": number, "t": number + 0.5, "kind": "error"} for end in ends]
    return events


def _fold(events: list[dict[str, Any]]) -> JobRecord:
    record = JobRecord()
    for event in events:
        record.add_event(event)
    return record


@given(histories(), st.randoms())
def test_the_order_of_reading_does_not_matter(events: list[dict[str, Any]], random: Any) -> None:
    shuffled = random.sample(events, len(events))
    assert {n: e["e"] for n, e in _fold(events).last_events.items()} == {
        n: e["e"] for n, e in _fold(shuffled).last_events.items()
    }


@given(histories())
def test_an_attempt_never_goes_backwards(events: list[dict[str, Any]]) -> None:
    record, ranks = JobRecord(), dict[int, int]()
    for event in events:
        record.add_event(event)
        for number, known in record.last_events.items():
            rank = ENDS.index(known["e"])
            assert rank >= ranks.get(number, 0)
            ranks[number] = rank


@given(histories())
def test_told_twice_is_told_once(events: list[dict[str, Any]]) -> None:
    once, twice = _fold(events), _fold(events + events)
    assert (once.last_events, once.failures()) == (twice.last_events, twice.failures())


@given(histories())
def test_a_result_counts_whatever_happens_to_later_attempts(events: list[dict[str, Any]]) -> None:
    done = [event["n"] for event in events if event["e"] == "done"]
    found = _fold(events).done_event
    assert (found["n"] if found else None) == (max(done) if done else None)


def _event(kind: str, number: int, time: float) -> dict[str, Any]:
    return {"e": kind, "n": number, "t": time, "kind": "error"}


def test_resuming_forgives_failures_and_a_cancellation() -> None:
    record = _fold([_event("started", 1, 1), _event("failed", 1, 2), _event("cancelled", 1, 3)])
    assert record.is_cancelled
    assert len(record.failures()) == 1
    record.add_event(_event("resumed", 1, 4))
    assert not record.is_cancelled
    assert record.failures() == []


@given(st.permutations([_event("cancelled", 0, 1), _event("resumed", 0, 2), _event("started", 1, 3)]))
def test_what_a_person_said_last_holds_in_whatever_order_it_is_read(events: list[dict[str, Any]]) -> None:
    assert not _fold(events).is_cancelled
    assert _fold([*events, _event("cancelled", 1, 4)]).is_cancelled
    assert _fold([_event("cancelled", 1, 4), *events]).is_cancelled


def test_a_cancelled_job_that_nobody_resumed_stays_so() -> None:
    assert not JobRecord().is_cancelled
    assert _fold([_event("cancelled", 0, 1)]).is_cancelled
    assert _fold([_event("started", 1, 1), _event("cancelled", 1, 2)]).is_cancelled


def test_a_job_that_began_at_the_moment_of_its_cancellation_is_cancelled() -> None:
    events = [_event("cancelled", 0, 1), _event("started", 1, 2)]
    assert _fold([*events, _event("interrupted", 1, 3)]).is_cancelled
    assert not _fold([*events, _event("done", 1, 3)]).is_cancelled
