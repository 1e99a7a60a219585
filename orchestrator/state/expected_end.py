"""When a study will end, as far as one can tell from the jobs that have ended and from the pace of those that run."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from seedfold.orchestrator.state.job_states import ACTIVE_STATES
from seedfold.orchestrator.state.job_views import groups_of, others_of
from seedfold.orchestrator.state.overview import JobView, unique_by_id
from seedfold.orchestrator.state.running_jobs import RunningJob

_TO_COME = frozenset({"waiting", "submitted"})


def seconds_to_end(views: Sequence[JobView], running: Sequence[RunningJob]) -> float | None:
    """Return in how many seconds the study will have ended, if as many jobs run at a time as do now or did lately.

    A job that has not begun is expected to take as long as the median of the done jobs of its stage, or else as long
    as the running ones will have taken. None if nothing runs or waits for a scheduler, or if there is nothing to judge
    by. That jobs wait for their parents is not considered.
    """
    unique = unique_by_id(views)
    others = others_of(unique)
    if not any(view.state in ACTIVE_STATES for view in others):
        return None
    durations = _durations(unique, running)
    to_come = [durations.get(view.stage) for view in others if view.state in _TO_COME and not _stays_held(view)]
    left = [_seconds_left(job, durations) for job in running]
    known = [seconds for seconds in (*to_come, *left) if seconds is not None]
    if len(known) < len(to_come) + len(left):
        return None
    stages = {job.job.stage for job in running} or {view.stage for view in others if view.state in _TO_COME}
    window_s = 2 * max((durations.get(stage, 0.0) for stage in stages), default=0.0)
    at_a_time = _jobs_at_a_time(unique, running, window_s, stages)
    return max(max(known, default=0.0), sum(known) / at_a_time)


def _jobs_at_a_time(
    views: Sequence[JobView], running: Sequence[RunningJob], window_s: float, stages: Collection[str]
) -> float:
    """How many jobs of these stages run now, or ran on average in the last seconds, whichever is more.

    Between two jobs a slot is empty for a moment: the jobs of this instant alone would make the end jump.
    """
    now = time.time()
    spans = [(now - job.elapsed_s, now) for job in running]
    spans += [(ended - seconds, ended) for ended, seconds in _ended(views, stages) if ended > now - window_s]
    first = max(now - window_s, min((start for start, _ in spans), default=now))
    average = sum(end - max(start, first) for start, end in spans) / (now - first) if first < now else 0.0
    return max(1.0, len(running), average)


def _ended(views: Sequence[JobView], stages: Collection[str]) -> Iterator[tuple[float, float]]:
    """When the jobs of these stages ended that did, and how many seconds each took."""
    for group in groups_of(views):
        if group.example.job.stage in stages:
            yield from zip(group.ended, group.seconds, strict=True)
    for view in others_of(views):
        if view.state in ("done", "failed") and view.stage in stages:
            event = (view.job_state.event or {}) if view.state == "failed" else {}
            yield view.last_time, view.seconds or float(event.get("seconds", 0.0))


def _stays_held(view: JobView) -> bool:
    return view.job_state.is_held and view.state == "waiting"


def _durations(views: Sequence[JobView], running: Sequence[RunningJob]) -> Mapping[str, float]:
    """How long a job of each stage takes, in seconds."""
    done: dict[str, list[float]] = {}
    for group in groups_of(views):
        done.setdefault(group.example.job.stage, []).extend(group.seconds)
    for view in others_of(views):
        if view.state == "done" and view.job_state.event and "seconds" in view.job_state.event:
            done.setdefault(view.job.stage, []).append(float(view.job_state.event["seconds"]))
    expected: dict[str, list[float]] = {}
    for job in running:
        if job.left_s is not None and job.job.stage not in done:
            expected.setdefault(job.job.stage, []).append(job.elapsed_s + job.left_s)
    from statistics import median

    return {stage: median(seconds) for stage, seconds in (expected | done).items()}


def _seconds_left(job: RunningJob, durations: Mapping[str, float]) -> float | None:
    if job.left_s is not None or job.job.stage not in durations:
        return job.left_s
    return max(0.0, durations[job.job.stage] - job.elapsed_s)
