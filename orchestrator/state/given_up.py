"""Jobs that wait because a worker gave up their stage: too many jobs of it had failed in the same way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import JobState, JobStates
from seedfold.orchestrator.state.job_views import JobView, JobViews, counted, others_of


class WithState(Protocol):
    """A job with its state."""

    @property
    def state(self) -> str:
        """Its state."""


def is_given_up(states: JobStates, job: str) -> bool:
    """Whether the worker of a job has ended without it, because too many jobs of its stage failed alike."""
    return _Tasks(states).gave_up(job)


class _Tasks:
    """What was recorded of the ends of tasks. Each file is read once: a task has many jobs."""

    def __init__(self, states: JobStates) -> None:
        self._ledger = states.ledger
        self._ends: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._places: dict[str, dict[str, int]] = {}

    def gave_up(self, job: str) -> bool:
        """Whether the task of a job ended so, and the job has not been submitted again."""
        return bool(self.end_of(job).get("closed"))

    def end_of(self, job: str) -> Mapping[str, Any]:
        """What its task has recorded of its end; empty if the job is in no task that has ended."""
        submission = self._ledger.last_submission_of.get(job)
        if submission is None or job in self._ledger.open_submission_of:
            return {}
        token, index = submission.token, 0
        if submission.array is not None:
            if token not in self._places:
                self._places[token] = {one: place for place, one in enumerate(submission.jobs)}
            index = self._places[token][job] // submission.array.per_task
        key = token, index
        if key not in self._ends:
            tasks = submission.tasks
            self._ends[key] = tasks.end_details(index) if tasks.record_of(index).is_over else {}
        return self._ends[key]

    def limit_of(self, job: str) -> int:
        """After how many equal failures the worker of a job gave up its stage."""
        return RetryPolicies.parse(self._ledger.last_submission_of[job].settings["failures"]).stop_after_identical


def given_up_jobs(states: JobStates, views: Sequence[JobView]) -> dict[str, list[str]]:
    """Return the ids of the waiting jobs that were given up, by stage."""
    tasks, found = _Tasks(states), dict[str, list[str]]()
    others = others_of(views)
    stages_with_failures = {view.stage for view in others if view.state == "failed"}
    for view in others:
        if view.state == "waiting" and view.stage in stages_with_failures and tasks.gave_up(view.id):
            found.setdefault(view.stage, []).append(view.id)
    return found


def given_up_lines(
    states: JobStates, views: Sequence[JobView], given_up: dict[str, list[str]], resume: str
) -> Iterator[str]:
    """Say of each stage why its other jobs wait, and that they go on with the command ``resume``."""
    tasks, failed = _Tasks(states), [view for view in others_of(views) if view.state == "failed"]
    for stage, jobs in given_up.items():
        of_stage = f" of stage {stage}" if len({view.stage for view, _ in counted(views)}) > 1 else ""
        why = _why(tasks, stage, jobs[0], [view.job_state for view in failed if view.stage == stage])
        yield (
            f"{count_noun(len(jobs), 'job waits', 'jobs wait')}: the worker began no more{of_stage} after {why};"
            f" when the cause is mended: {resume}"
        )


def _why(tasks: _Tasks, stage: str, job: str, failed: Sequence[JobState]) -> str:
    """After what the worker of a job began no more of its stage."""
    recorded = tasks.end_of(job).get("closed_after") or {}
    if stage not in recorded and "" in recorded:
        return f"the last try of a job that failed: {recorded['']}"
    equal = f"failures.stop_after_identical={tasks.limit_of(job)} equal failures"
    reason = recorded.get(stage) or _most_frequent_reason(failed)
    return f"{equal}: {reason}" if reason else equal


def resume_text(
    states: JobStates, views: Sequence[WithState], all_views: Callable[[], Sequence[WithState]] | None = None
) -> str:
    """The command that starts the jobs that wait, and not those that somebody has cancelled.

    If ``views`` may be some jobs of the study only, ``all_views`` returns all: the command starts those as well.
    """
    study = states.ledger.study.name
    if all_views is not None and len(views) < len(states.ledger.plans.current_ids()):
        views = all_views()
    counts = Counter(view.state for view in (views.others.values() if isinstance(views, JobViews) else views))
    # Where nothing else is to be started, it is the cancelled jobs that are meant.
    if not counts["cancelled"] or not any(counts[state] for state in ("waiting", "failed", "blocked", "lost")):
        return f"seedfold resume {study}"
    jobs = count_noun(counts["cancelled"], "cancelled job", "cancelled jobs")
    return f"seedfold resume {study} --keep-cancelled (without this option, it also starts the {jobs})"


def _most_frequent_reason(failed: Sequence[JobState]) -> str | None:
    """The reason of the failures of which there are the most: earlier versions did not record which they were."""
    digests = [str((one.event or {}).get("digest")) for one in failed]
    most = max(Counter(digests).items(), key=lambda found: found[1], default=None)
    return None if most is None else failed[digests.index(most[0])].reason
