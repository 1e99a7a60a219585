"""Jobs that wait because a worker gave up their stage: too many jobs of it had failed in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from math import inf

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.state.job_views import JobView, by_stage, counted, groups_of, others_of


def is_given_up(states: JobStates, job: str) -> bool:
    """Whether the worker of a job has ended without it, because too many jobs of its stage failed alike."""
    return _Tasks(states).gave_up(job)


class _Tasks:
    """What was recorded of the ends of tasks. Each file is read once: a task has many jobs."""

    def __init__(self, states: JobStates) -> None:
        self._ledger = states.ledger
        self._gave_up: dict[tuple[str, int], bool] = {}
        self._places: dict[str, dict[str, int]] = {}

    def gave_up(self, job: str) -> bool:
        """Whether the task of a job ended so, and the job has not been submitted again."""
        submission = self._ledger.last_submission_of.get(job)
        if submission is None or job in self._ledger.open_submission_of:
            return False
        token, index = submission.token, 0
        if submission.array is not None:
            if token not in self._places:
                self._places[token] = {one: place for place, one in enumerate(submission.jobs)}
            index = self._places[token][job] // submission.array.per_task
        key = token, index
        if key not in self._gave_up:
            tasks = submission.tasks
            is_over = tasks.record_of(index).is_over
            self._gave_up[key] = is_over and bool(tasks.end_details(index).get("closed"))
        return self._gave_up[key]


def given_up_jobs(states: JobStates, views: Sequence[JobView]) -> dict[str, list[str]]:
    """Return the ids of the waiting jobs that were given up, by stage."""
    tasks, found = _Tasks(states), dict[str, list[str]]()
    others = others_of(views)
    stages_with_failures = {view.stage for view in others if view.state == "failed"}
    for view in others:
        if view.state == "waiting" and view.stage in stages_with_failures and tasks.gave_up(view.id):
            found.setdefault(view.stage, []).append(view.id)
    return found


def given_up_lines(states: JobStates, views: Sequence[JobView], given_up: dict[str, list[str]]) -> Iterator[str]:
    """Say of each stage why its other jobs wait, and how they go on."""
    limit, study = states.policies.stop_after_identical, states.ledger.study.name
    for stage, jobs in given_up.items():
        count = _failures_in_a_row(by_stage(views)[stage])
        failures = f"{count} equal failures in a row" if count > 1 else "a failure"
        setting = f" (failures.stop_after_identical is {limit})" if count >= limit else ""
        of_stage = f" of stage {stage}" if len({view.stage for view, _ in counted(views)}) > 1 else ""
        yield (
            f"{count_noun(len(jobs), 'job waits', 'jobs wait')}: the worker began no more{of_stage} after"
            f" {failures}{setting}; when the cause is mended: {resume_text(study, views)}"
        )


def resume_text(study: str, views: Sequence[JobView]) -> str:
    """The command that starts the jobs that wait, and not those that somebody has cancelled."""
    cancelled = sum(view.state == "cancelled" for view in others_of(views))
    if not cancelled:
        return f"seedfold resume {study}"
    jobs = count_noun(cancelled, "cancelled job", "cancelled jobs")
    return f"seedfold resume {study} --keep-cancelled (without this option, it also starts the {jobs})"


def _failures_in_a_row(views: Sequence[JobView]) -> int:
    """How many of the jobs that ended last failed in one way."""
    last_done = max((time for group in groups_of(views) for time in group.ended), default=-inf)
    found = [view.job_state.event for view in others_of(views) if view.state in ("done", "failed")]
    ended = [event for event in found if event and event["t"] > last_done]
    latest = sorted(ended, key=lambda event: -float(event["t"]))
    digest = latest[0].get("digest") if latest else None
    return max(1, sum(1 for _ in takewhile(lambda event: event["e"] == "failed" and event["digest"] == digest, latest)))
