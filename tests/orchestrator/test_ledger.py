from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from seedfold.orchestrator.ledger import Record

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


def _fold(events: list[dict[str, Any]]) -> Record:
    record = Record()
    for event in events:
        record.take(event)
    return record


@given(histories(), st.randoms())
def test_the_order_of_reading_does_not_matter(events: list[dict[str, Any]], random: Any) -> None:
    shuffled = random.sample(events, len(events))
    assert {n: e["e"] for n, e in _fold(events).attempts.items()} == {
        n: e["e"] for n, e in _fold(shuffled).attempts.items()
    }


@given(histories())
def test_an_attempt_never_goes_backwards(events: list[dict[str, Any]]) -> None:
    record, ranks = Record(), dict[int, int]()
    for event in events:
        record.take(event)
        for number, known in record.attempts.items():
            rank = ENDS.index(known["e"])
            assert rank >= ranks.get(number, 0)
            ranks[number] = rank


@given(histories())
def test_told_twice_is_told_once(events: list[dict[str, Any]]) -> None:
    once, twice = _fold(events), _fold(events + events)
    assert (once.attempts, once.failures()) == (twice.attempts, twice.failures())


@given(histories())
def test_a_result_counts_whatever_happens_to_later_attempts(events: list[dict[str, Any]]) -> None:
    done = [event["n"] for event in events if event["e"] == "done"]
    found = _fold(events).done
    assert (found["n"] if found else None) == (max(done) if done else None)


def test_resuming_forgives_failures_and_a_cancellation() -> None:
    record = _fold([{"e": "started", "n": 1}, {"e": "failed", "n": 1, "kind": "error"}, {"e": "cancelled", "n": 1}])
    assert record.cancelled
    assert len(record.failures()) == 1
    record.take({"e": "resumed", "n": 1})
    assert not record.cancelled
    assert record.failures() == []


def test_a_cancelled_job_that_nobody_resumed_stays_so() -> None:
    assert not Record().cancelled
    assert _fold([{"e": "cancelled", "n": 0}]).cancelled
    assert _fold([{"e": "started", "n": 1}, {"e": "cancelled", "n": 1}]).cancelled
