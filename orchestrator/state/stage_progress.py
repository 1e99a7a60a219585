"""How far each stage of a study is: its jobs by state, since when it runs, and when it will end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seedfold.orchestrator.state.expected_end import seconds_to_end
from seedfold.orchestrator.state.job_states import ACTIVE_STATES
from seedfold.orchestrator.state.job_views import by_stage, groups_of, others_of
from seedfold.orchestrator.state.overview import JobView, Overview, count_views
from seedfold.orchestrator.state.running_jobs import RunningJob, find_running

_PAUSE_S = 3600.0


@dataclass(frozen=True, slots=True)
class StageProgress:
    """A stage. ``elapsed_s`` is as `elapsed_seconds` says, and ``left_s`` is None if nothing is known of the end."""

    stage: str
    counts: Mapping[str, int]
    elapsed_s: float | None
    left_s: float | None

    @property
    def jobs(self) -> int:
        """The number of its jobs."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class StudyProgress:
    """The stages of a study, its running jobs, and in how many seconds it will have ended; None if that is unknown."""

    stages: Sequence[StageProgress]
    running: Sequence[RunningJob]
    left_s: float | None

    @classmethod
    def find(cls, overview: Overview, views: Sequence[JobView], first_start_s: float | None = None) -> StudyProgress:
        """Look at the jobs. ``first_start_s`` is in how many seconds a scheduler expects the first to start.

        It counts if none runs yet. No end is told where others of the study take slots and are not among the jobs.
        """
        running = find_running(views)
        if _hides_active(overview, views):
            return cls(find_stage_progress(views, ()), running, None)
        left = seconds_to_end(views, running)
        if left is not None and not running:
            left += first_start_s or 0.0
        return cls(find_stage_progress(views, running), running, left)


def _hides_active(overview: Overview, views: Sequence[JobView]) -> bool:
    """Whether jobs that are queued or running were left out of the views."""
    if len(views) >= len(overview.ledger.plans.current_ids()):
        return False
    every, shown = (
        sum(view.state in ACTIVE_STATES for view in others_of(found)) for found in (overview.job_views(), views)
    )
    return every > shown


def find_stage_progress(views: Sequence[JobView], running: Sequence[RunningJob]) -> list[StageProgress]:
    """Return the progress of each stage, in the order of the study."""
    return [_find_one(stage, found, running) for stage, found in by_stage(views).items()]


def _find_one(stage: str, views: Sequence[JobView], running: Sequence[RunningJob]) -> StageProgress:
    of_stage = [job for job in running if job.job.stage == stage]
    # A stage whose jobs wait for others says nothing of its own end.
    left = seconds_to_end(views, of_stage) if of_stage else None
    return StageProgress(stage, count_views(views), elapsed_seconds(views), left)


def elapsed_seconds(views: Sequence[JobView]) -> float | None:
    """Return for how many seconds jobs have run, without what was before a pause of an hour; None if none has begun."""
    spans = []
    for view in others_of(views):
        event = view.job_state.event or {}
        if "t" in event:
            ended = time.time() if view.state == "running" else float(event["t"])
            spans.append((ended, float(event["t"]) - float(event.get("seconds", 0.0))))
    for group in groups_of(views):
        spans += ((ended, ended - seconds) for ended, seconds in zip(group.ended, group.seconds, strict=True))
    if not spans:
        return None
    spans.sort(reverse=True)
    last = began = spans[0][0]
    for ended, start in spans:
        if ended < began - _PAUSE_S:
            break
        began = min(began, start)
    until = time.time() if any(view.state in ACTIVE_STATES for view in others_of(views)) else last
    return until - began
