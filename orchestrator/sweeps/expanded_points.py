"""Points that another sweeper makes, one batch after the other, as jobs of one study."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.cli.follow import wait_and_print_outcome
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.sweeps.request import SweepRequest
from seedfold.orchestrator.sweeps.returns import read_job_returns
from seedfold.orchestrator.sweeps.sweep import exit_on_errors, plan_jobs, start_jobs

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

INTERRUPTED_EXIT_CODE = 130


@dataclass(frozen=True)
class StartedPoints:
    """The job of each point, and the launches that started those that had to run."""

    root: Root
    jobs: tuple[JobDescription, ...]
    launches: tuple[LaunchResult, ...]

    def as_one_launch(self) -> LaunchResult:
        """The launches as one: what it started, and all that it asked for."""
        return replace(
            self.launches[-1],
            jobs=tuple(dict.fromkeys(job.id for job in self.jobs)),
            started=tuple(job for launched in self.launches for job in launched.started),
            submissions=tuple(one for launched in self.launches for one in launched.submissions),
        )


class PointsOfSweeper:
    """The points that a sweeper has made so far. Each of them is a job; equal points are the same job."""

    def __init__(self, request: SweepRequest) -> None:
        self.request = request
        self._axes_by_job: dict[str, Mapping[str, object]] = {}

    def run(self, points: Sequence[Sequence[str]], first_number: int) -> Sequence[JobReturn]:
        """Run the points, numbered from ``first_number``; return what each returned, in order.

        Returns an empty list if nothing waits for the jobs.
        """
        with exit_on_errors():
            self.check(needs_returns=not self.request.is_basic_sweep)
            started = self.start(points, first_number)
            if not self.request.get_flag("wait"):
                return []
            launched = started.as_one_launch()
            if wait_and_print_outcome(started.root, launched) == INTERRUPTED_EXIT_CODE:
                sys.exit(INTERRUPTED_EXIT_CODE)
            return list(read_job_returns(started.root, launched.study, started.jobs))

    def check(self, needs_returns: bool) -> None:
        """Raise UsageError, before anything is started, for settings with which the sweep cannot run."""
        self.request.check_flags()
        if self.request.is_seedfold_study:
            raise UsageError("hydra/sweeper: Seedfold's own studies need hydra/sweeper=seedfold")
        if needs_returns and not self.request.get_flag("wait"):
            raise UsageError("hydra.launcher.wait: false: this sweeper needs what its jobs return; give true")

    def start(self, points: Sequence[Sequence[str]], first_number: int) -> StartedPoints:
        """Start the jobs of the points that are not done, without waiting for them."""
        from seedfold.jobs.hydra_program import load_expanded_points

        if first_number == 0:
            self.request.save_config()
        jobs: dict[int, JobDescription] = {}
        launches: list[LaunchResult] = []
        for study, places in load_expanded_points(self.request.make_sweep(), points, first_number):
            plan = plan_jobs(self.request, study, self.request.arguments)
            jobs_of_plan = {place: plan.descriptions[job_place] for place, job_place in places.items()}
            self._note_equal_points([jobs_of_plan[place] for place in sorted(jobs_of_plan)])
            jobs |= jobs_of_plan
            # The next points of the same sweep come with the same arguments.
            launches.append(start_jobs(self.request, plan, self.request.arguments, only_adds=True))
        return StartedPoints(self.request.root, tuple(jobs[place] for place in range(len(points))), tuple(launches))

    def _note_equal_points(self, jobs: Iterable[JobDescription]) -> None:
        """Say which points were asked for before. Raises UsageError for them if the points are those of a grid."""
        from seedfold.jobs.hydra_program import point_text, refuse_equal_points

        repeated: list[JobDescription] = []
        for job in jobs:
            if job.id not in self._axes_by_job:
                self._axes_by_job[job.id] = job.axes
                continue
            if self.request.is_basic_sweep:
                refuse_equal_points(self._axes_by_job[job.id], job.axes)
            repeated.append(job)
        if repeated:
            were = count_noun(len(repeated), "point was", "points were")
            print_text(
                f"{repeated[0].study}: {were} asked for before ({point_text(repeated[0].axes)}) and not run again: the"
                " sweeper gets the same result; to run it again, sweep over a seed as well",
                style="yellow",
            )
