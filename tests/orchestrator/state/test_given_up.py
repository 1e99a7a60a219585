"""What is said of jobs that a worker gave up, and with which command they go on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from seedfold.orchestrator.state.given_up import given_up_jobs, given_up_lines, resume_text
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.state.job_views import JobView


def view(number: int, state: str, reason: str = "") -> JobView:
    job_state = SimpleNamespace(state=state, reason=reason, event={"e": state, "digest": reason, "t": float(number)})
    return cast("JobView", SimpleNamespace(id=f"j{number}", stage="train", state=state, job_state=job_state))


def states_after(end: dict[str, Any], jobs: list[JobView]) -> JobStates:
    """The states of a study whose worker has recorded this end."""
    tasks = SimpleNamespace(record_of=lambda index: SimpleNamespace(is_over=True), end_details=lambda index: end)
    settings = {"failures": {"stop_after_identical": 3}}
    submission = SimpleNamespace(token="a", array=None, tasks=tasks, settings=settings)
    ids = [each.id for each in jobs]
    ledger = SimpleNamespace(
        study=SimpleNamespace(name="many"),
        last_submission_of=dict.fromkeys(ids, submission),
        open_submission_of={},
        plans=SimpleNamespace(current_ids=lambda: ids),
    )
    return cast("JobStates", SimpleNamespace(ledger=ledger))


# Two kinds of failures, and the one that ended the stage is not that of the last job.
JOBS = [*(view(number, "failed", "too large") for number in range(4)), view(5, "failed", "other"), view(6, "waiting")]


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ({"closed": True, "closed_after": {"train": "other"}}, "3 equal failures: other;"),
        ({"closed": True}, "3 equal failures: too large;"),
        ({"closed": True, "closed_after": {"": "the disk is full"}}, "job that failed: the disk is full;"),
    ],
)
def test_the_failures_are_named_after_which_a_stage_was_given_up(end: dict[str, Any], why: str) -> None:
    states = states_after(end, JOBS)
    [line] = given_up_lines(states, JOBS, given_up_jobs(states, JOBS), "seedfold resume many")
    assert line.startswith("1 job waits: the worker began no more after ")
    assert f"{why} when the cause is mended: seedfold resume many" in line


def test_a_command_that_goes_on_leaves_cancelled_jobs_unless_there_are_no_others() -> None:
    cancelled = [view(7, "cancelled"), view(8, "cancelled")]
    every = [*JOBS, *cancelled]
    states = states_after({"closed": True}, every)
    kept = "seedfold resume many --keep-cancelled (without this option, it also starts the 2 cancelled jobs)"
    assert resume_text(states, every) == kept
    # Some of the jobs are looked at, and the command starts the others as well.
    assert resume_text(states, JOBS, lambda: every) == kept
    assert resume_text(states, JOBS) == "seedfold resume many"
    assert resume_text(states, [view(9, "done"), *cancelled]) == "seedfold resume many"
