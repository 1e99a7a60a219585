"""The pilot of a study: a few jobs of each stage and task that run first, while the others are held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.dispatch.hold import may_be_held, record_held, record_released
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.launch_plan import Plan, PlannedJob

_TASK = "task"


@dataclass(frozen=True, slots=True)
class PilotRequest:
    """What was asked for: ``size`` jobs of each stage and task first, the others when a person releases them.

    With ``is_auto`` they are released when the pilot jobs are done.
    """

    size: int
    is_auto: bool = False


def pilot_request(size: int | None, is_auto: bool) -> PilotRequest | None:
    """Return what ``--pilot`` and ``--pilot-auto`` ask for, None for no pilot.

    Raises UsageError for ``is_auto`` alone, and for a size below 1.
    """
    if size is None and is_auto:
        raise UsageError("--pilot-auto: add --pilot N, the number of jobs of each stage that run first")
    if size is not None and size < 1:
        raise UsageError(f"--pilot {size}: must be at least 1")
    return None if size is None else PilotRequest(size, is_auto)


@dataclass(frozen=True, slots=True)
class Pilot:
    """The pilot jobs, those of them that are not done yet, and the jobs that are held meanwhile, as ids."""

    jobs: tuple[str, ...]
    to_come: tuple[str, ...]
    held: tuple[str, ...]
    is_auto: bool

    def choose_startable(self, plan: Plan) -> list[PlannedJob]:
        """The jobs that a launch with this pilot submits: the others, too, which are held. Done jobs stay done."""
        return [planned for planned in plan.startable_jobs(released=self.jobs) if planned.state != "done"]

    def record(self, plan: Plan) -> None:
        """Record the hold. This is done before anything is submitted, so that no worker begins a job that is held."""
        known = plan.ledger
        record_held(plan.folder, known, self.held, self.to_come, is_auto=self.is_auto)
        record_released(plan.folder, known, [job for job in self.jobs if known.record_of(job).hold is not None])


def choose_pilot(plan: Plan, request: PilotRequest, selection: Selection) -> Pilot:
    """Choose the first jobs of each stage and of each value of the axis ``task``, in the order of the study.

    A job with parents is a pilot job only if all its parents are pilot jobs or done: each chain of the pilot goes as
    far as it can, and a job that puts many others together waits with them. All other selected jobs that have not begun
    are held; none if the pilot jobs are done and the others are released by that.
    """
    counts: Counter[tuple[str, str]] = Counter()
    pilots: dict[str, PlannedJob] = {}
    others: dict[str, PlannedJob] = {}
    for planned in selection.apply(plan.jobs, lambda one: one.job):
        job = planned.job
        if job.id in pilots or job.id in others:
            continue
        group = (job.stage, canonical_json(job.axes.get(_TASK)))
        if counts[group] < request.size and all(
            parent in pilots or plan.states.of(parent).state == "done" for parent in job.parents
        ):
            counts[group] += 1
            pilots[job.id] = planned
        else:
            others[job.id] = planned
    to_come = tuple(one.job.id for one in pilots.values() if one.state != "done")
    held = [job for job, one in others.items() if may_be_held(plan.states, job, one.state)]
    if request.is_auto and not to_come:
        held = []
    return Pilot(tuple(pilots), to_come, tuple(held), request.is_auto)


def pilot_lines(plan: Plan, pilot: Pilot) -> Sequence[str]:
    """Say how many jobs of each stage are in the pilot, and which stages have none."""
    stage_of = {planned.job.id: planned.job.stage for planned in plan.jobs}
    chosen, held = Counter(stage_of[job] for job in pilot.jobs), Counter(stage_of[job] for job in pilot.held)
    lines = [f"  {stage}: {chosen[stage]} first, {held[stage]} held" for stage in dict.fromkeys(stage_of.values())]
    without = [stage for stage in held if not chosen[stage]]
    if without:
        lines.append(f"  no job of {', '.join(without)} is in the pilot, because each needs jobs that are held")
    return lines
