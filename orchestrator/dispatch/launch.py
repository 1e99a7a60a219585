"""Starting what is to be done: launch, resume, cancel, and waiting for it.

The order of writes: the plan names the jobs, the submission's intent says who shall do them, then the worker is
started. A kill between any two leaves jobs waiting, never lost and never doubled.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UnreachableError, UsageError, counted
from seedfold.orchestrator.code.snapshots import take_snapshot
from seedfold.orchestrator.code.target_check import refuse_absent_targets
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.ledger.slot_waits import wait_of
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.login.project_store import refuse_absent_data
from seedfold.orchestrator.schedulers.local import dispatch
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.failures import KINDS, Policies
from seedfold.orchestrator.settings.login import refuse_elsewhere
from seedfold.orchestrator.settings.overrides import apply_volatile
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.settings.site import site_overrides
from seedfold.orchestrator.state.imported_predictions import is_import
from seedfold.orchestrator.state.job_states import ALIVE, Standing, Standings, count_states
from seedfold.orchestrator.state.plan import Plan, PlannedJob, replaced_keys

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.round import Advanced

POLL_S = 0.3
STOPPED = frozenset({"failed", "cancelled"})
"""States that only a person ends."""
_LATER_S = 0.001
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launch or a resume did.

    ``jobs`` are the ids it speaks of, ``started`` those that it handed over in ``submissions``; ``exhausted`` counts
    failed jobs that only `resume` tries again; ``advanced`` is what the scheduler took, None on this machine.
    """

    study: StudyFolder
    jobs: tuple[str, ...]
    started: tuple[JobDescription, ...]
    submissions: tuple[Submission, ...]
    exhausted: int = 0
    advanced: Advanced | None = None


def make_plan(root: Root, overrides: Sequence[str], config_dirs: Sequence[Path], check_code: bool = False) -> Plan:
    """Compose, expand and compare.

    Raises UsageError for what is wrong with the study, for classes that it names and that are not there, and if it
    belongs elsewhere.
    """
    from seedfold.jobs.study import load_study

    study = load_study([*site_overrides(overrides), *overrides], config_dirs=config_dirs, folder=Path.cwd())
    refuse_elsewhere(study.settings["cluster"])
    plan = Plan(root, study, import_roots() if check_code else None)
    refuse_absent_targets(plan.descriptions, Path.cwd())
    return plan


def import_roots() -> tuple[Path, ...]:
    """Where a job launched from here would import code from."""
    import sys

    return (Path.cwd(), *(Path(entry) for entry in sys.path if entry))


def launch(
    root: Root,
    overrides: Sequence[str],
    *,
    config_dirs: Sequence[Path] = (),
    selection: Selection | None = None,
    replace: bool = False,
    rerun: str | None = None,
) -> Launched:
    """Plan a study and start what is new, waiting, lost, stale by parent or to be retried.

    ``rerun`` adds done jobs: ``stale`` for those whose data or code changed, else a where expression. Raises UsageError
    if jobs would be replaced and ``replace`` is not set; nothing is written then.
    """
    plan = make_plan(root, overrides, config_dirs, check_code=rerun == "stale")
    refuse_copy(plan.folder)
    if selection is not None:
        selection.check(plan.descriptions)
    starting = plan.startable(_rerun_test(rerun, plan.descriptions))
    if selection is not None:
        starting = selection.apply(starting, lambda planned: planned.job)
    if not replace:
        refuse_replacing(plan)
    return start(plan, starting, overrides, config_dirs)


def start(
    plan: Plan, starting: Sequence[PlannedJob], overrides: Sequence[str], config_dirs: Sequence[Path] = ()
) -> Launched:
    """Do what a plan says: write it down, keep the code, hand the jobs over. ``overrides`` are what was asked for."""
    root = plan.root
    refuse_absent_data(Path.cwd(), plan.study.settings)
    _check_with_scheduler(plan.folder, starting, plan.study.settings)
    if starting or plan.names_new():
        root.mark()
        header = PlanHeader.now(overrides, config_dirs, plan.study.settings, Path.cwd())
        write_plan(plan.folder, header, plan.descriptions)
    code = _code_of(plan.folder, plan.ledger, starting, plan.study.settings, Path.cwd())
    submissions, advanced = _submit(root, plan.folder, plan.ledger, starting, plan.study.settings, Path.cwd(), code)
    return Launched(
        study=plan.folder,
        jobs=tuple(dict.fromkeys(job.id for job in plan.descriptions)),
        started=tuple(planned.job for planned in starting),
        submissions=submissions,
        advanced=advanced,
        exhausted=sum(planned.state == "failed" for planned in plan.jobs) - _count_failed(starting),
    )


def refuse_replacing(plan: Plan, instead: str = "launch with --replace, or under another name with study=NAME") -> None:
    """Raise UsageError, which says what to do ``instead``, if other jobs stand in the places of the plan's."""
    # Somebody else may have planned while this plan was made.
    plan.ledger.plans.refresh()
    replacements = plan.replacements()
    if replacements:
        keys = "; ".join(replaced_keys(replacements, plan.study.settings["identity"]))
        raise UsageError(
            f"{counted(len(replacements), 'job')} of study {plan.study.name} would be replaced ({keys}); {instead}"
        )


def _count_failed(jobs: Iterable[PlannedJob]) -> int:
    return sum(planned.state == "failed" for planned in jobs)


def _rerun_test(rerun: str | None, jobs: Iterable[JobDescription]) -> Callable[[PlannedJob], bool]:
    if rerun is None:
        return lambda planned: False
    if rerun == "stale":
        return lambda planned: planned.stale is not None
    from seedfold.jobs.conditions import Where

    where = Where.parse(rerun)
    where.check({axis: None for job in jobs for axis in job.axes})
    return lambda planned: planned.state == "done" and where.matches(planned.job.axes)


def _check_with_scheduler(study: StudyFolder, starting: Sequence[PlannedJob], settings: Mapping[str, Any]) -> None:
    """Raise UsageError for what the scheduler would refuse, before anything is written."""
    if not starting or Cluster.parse(settings["cluster"]).batch is None:
        return
    from seedfold.orchestrator.schedulers.backend import RefusedError
    from seedfold.orchestrator.schedulers.intents import preflight

    try:
        preflight(study, [planned.job for planned in starting], settings)
    except RefusedError as error:
        raise UsageError(f"the scheduler would refuse {error}") from None


def _code_of(
    study: StudyFolder,
    ledger: Ledger,
    starting: Sequence[PlannedJob],
    settings: Mapping[str, Any],
    folder: Path,
    original: bool = False,
) -> dict[str, str | None]:
    """The snapshot of the code that each job is to run: of today's, or, if ``original``, the one that it had last.

    None stands for what is in ``folder`` when the job starts. Raises UsageError where there is no original.
    """
    found: dict[str, str | None] = {}
    today = [one.job for one in starting if not (original and one.job.id in ledger.handed_over)]
    if today:
        snapshot = take_snapshot(study, today, folder) if Cluster.parse(settings["cluster"]).snapshot else None
        found |= dict.fromkeys((job.id for job in today), snapshot)
    for job in (one.job for one in starting if one.job.id not in found):
        last = ledger.handed_over[job.id]
        if last.snapshot is None:
            raise UsageError(f"--code original: {job.short_id} was submitted without a snapshot of the code")
        last.import_path()
        found[job.id] = last.snapshot
    return found


def _submit(
    root: Root,
    study: StudyFolder,
    ledger: Ledger,
    starting: Sequence[PlannedJob],
    settings: Mapping[str, Any],
    folder: Path,
    code: Mapping[str, str | None],
) -> tuple[tuple[Submission, ...], Advanced | None]:
    """Hand jobs over: to a worker on this machine, or as intents that `advance` sends to the scheduler."""
    jobs = [planned.job for planned in starting]
    rerun = {one.job.id: ledger.record(one.job.id).latest for one in starting if one.state == "done"}
    if Cluster.parse(settings["cluster"]).batch is not None:
        from seedfold.orchestrator.schedulers.advance import advance
        from seedfold.orchestrator.schedulers.intents import make_intents

        made = make_intents(study, ledger, jobs, settings, folder, rerun=rerun, code=code) if jobs else []
        return tuple(made), advance(root, study)
    if not jobs:
        return (), None
    kept = {key: settings[key] for key in ("cluster", "failures")}
    made = []
    for snapshot in dict.fromkeys(code.values()):
        names = [job.id for job in jobs if code[job.id] == snapshot]
        again = {job: rerun[job] for job in names if job in rerun}
        made.append(Submission.create(study, names, kept, folder, again, snapshot=snapshot))
    for submission in made:
        dispatch(submission)
    return tuple(made), None


def resume(
    root: Root,
    name: str,
    overrides: Sequence[str] = (),
    *,
    selection: Selection | None = None,
    kinds: Sequence[str] = (),
    original_code: bool = False,
    folder: Path | None = None,
) -> Launched:
    """Start exactly what is neither done nor alive, from its checkpoints, exhausted and cancelled jobs included.

    ``overrides`` may change what does not identify a job, such as ``resources.memory=80GB``; ``kinds`` limits it to
    jobs that failed so; ``original_code`` has each job run the code of its last submission instead of today's, which
    lies in ``folder``, by default the one of the last launch. Raises UsageError for an unknown kind, an override that
    would make other jobs, or code that was not kept.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--kind {kind}: no such kind of failure; known: {', '.join(KINDS)}")
    study = root.existing(name)
    refuse_copy(study)
    ledger = Ledger(study)
    _bring_forward(root, ledger)
    header = ledger.plans.header
    assert header is not None
    code_folder = folder or Path(header.folder)
    jobs, settings = apply_volatile(list(ledger.plans.current.values()), header.settings, overrides)
    Cluster.parse(settings["cluster"])
    standings = Standings(root, ledger, Policies.parse(settings["failures"]))
    own = [job for job in _each_once(jobs) if not is_import(job)]
    planned = [PlannedJob(job, standing := standings.of(job.id), standing.state, None) for job in own]
    starting = _resumable(planned, kinds)
    if selection is not None:
        selection.check(jobs)
        starting = selection.apply(starting, lambda one: one.job)
    _check_with_scheduler(study, starting, settings)
    code = _code_of(study, ledger, starting, settings, code_folder, original_code)
    if starting:
        forgive(study, ledger, [one.job.id for one in starting if one.state in STOPPED])
        if overrides or code_folder != Path(header.folder):
            write_plan(study, PlanHeader.now(overrides, (), settings, code_folder), jobs)
    submissions, advanced = _submit(root, study, ledger, starting, settings, code_folder, code)
    return Launched(
        study=study,
        jobs=tuple(one.job.id for one in planned),
        started=tuple(one.job for one in starting),
        submissions=submissions,
        advanced=advanced,
    )


def _bring_forward(root: Root, ledger: Ledger) -> None:
    """Learn from the scheduler what has ended: what was cancelled there a moment ago would seem to be queued."""
    if not any(submission.array for submission in ledger.live):
        return
    from seedfold.orchestrator.schedulers.advance import advance

    advance(root, ledger.study)
    ledger.refresh()


def _each_once(jobs: Iterable[JobDescription]) -> list[JobDescription]:
    return list({job.id: job for job in jobs}.values())


def _resumable(planned: Sequence[PlannedJob], kinds: Sequence[str]) -> list[PlannedJob]:
    """What is neither done nor alive; a job whose parent is neither, and is not resumed with it, is left out."""
    states = {one.job.id: one.state for one in planned}
    starting: dict[str, PlannedJob] = {}
    for one in planned:
        if one.state == "done" or one.state in ALIVE or (kinds and not _failed_as(one, kinds)):
            continue
        if all(parent in starting or states.get(parent) in {"done", *ALIVE} for parent in one.job.parents):
            starting[one.job.id] = one
    return list(starting.values())


def _failed_as(planned: PlannedJob, kinds: Sequence[str]) -> bool:
    event = planned.standing.event
    return planned.state == "failed" and event is not None and event["kind"] in kinds


def forgive(study: StudyFolder, ledger: Ledger, stopped: Sequence[str]) -> None:
    """Give jobs that failed or were cancelled their retries back."""
    if stopped:
        writer = EventWriter(study.events)
        # Later than the cancellations that it answers, whatever the clocks of the hosts say.
        now = max(time.time(), *(ledger.record(job).cancelled_at + _LATER_S for job in stopped))
        writer.tell("resumed", t=round(now, 3), jobs={job: ledger.record(job).latest for job in stopped})
        writer.close()


def cancel(
    root: Root, name: str, *, selection: Selection | None = None, pending_only: bool = False
) -> list[JobDescription]:
    """Cancel what is not done: running jobs are killed unless ``pending_only``. Returns the cancelled jobs."""
    folder = root.existing(name)
    refuse_copy(folder)
    ledger = Ledger(folder)
    assert ledger.plans.header is not None
    standings = Standings(root, ledger, Policies.parse(ledger.plans.header.settings["failures"]))
    stop = {"waiting", "submitted", "blocked", "lost"} | (set() if pending_only else {"running"})
    own = [job for job in _each_once(ledger.plans.current.values()) if not is_import(job)]
    jobs = [job for job in own if standings.of(job.id).state in stop]
    if selection is not None:
        selection.check(ledger.plans.current.values())
        jobs = selection.apply(jobs, lambda job: job)
    if jobs:
        writer = EventWriter(folder.events)
        now = max(time.time(), *(ledger.record(job.id).resumed_at + _LATER_S for job in jobs))
        writer.tell("cancelled", t=round(now, 3), jobs={job.id: ledger.record(job.id).latest for job in jobs})
        writer.close()
        _take_out_of_queue(ledger)
    return jobs


def _take_out_of_queue(ledger: Ledger) -> None:
    """Have the scheduler drop tasks that have not begun and hold nothing but cancelled jobs; the others end alone."""
    if not any(submission.array for submission in ledger.live):
        return
    from seedfold.orchestrator.schedulers.ended_tasks import drop_cancelled

    ledger.refresh()
    drop_cancelled(ledger)


@dataclass(frozen=True, slots=True)
class Progress:
    """How the awaited jobs stand: counts by state, and whether anybody is still at work on them.

    ``waits_for`` says for what, where none of them runs and their worker knows.
    """

    counts: Mapping[str, int]
    running: tuple[JobDescription, ...]
    over: bool
    waits_for: str = ""


class Waiter:
    """Watches the jobs of a launch. Whoever works on them, and however often this is asked, nothing is changed."""

    def __init__(self, root: Root, study: StudyFolder, jobs: Sequence[str]) -> None:
        self.jobs = jobs
        self._named = frozenset(jobs)
        self._done: dict[str, Standing] = {}
        self.ledger = Ledger(study)
        assert self.ledger.plans.header is not None
        policies = Policies.parse(self.ledger.plans.header.settings["failures"])
        self.standings = Standings(root, self.ledger, policies)
        self._root = root
        self._advance_at, self._pause_s = time.monotonic() + _FIRST_PAUSE_S, _FIRST_PAUSE_S

    def look(self) -> Progress:
        """Look once. A job that was seen done is not looked at again: of thousands, few are in question."""
        self.standings.refresh()
        standings = {job: self._done.get(job) or self.standings.of(job) for job in self.jobs}
        self._done = {job: one for job, one in standings.items() if one.state == "done"}
        running = tuple(self.ledger.plans.jobs[job] for job, one in standings.items() if one.state == "running")
        over = not any(one.state in ALIVE for one in standings.values())
        waits_for = "" if running or over else self._waits_for()
        return Progress(count_states(standings.values()), running, over, waits_for)

    def _waits_for(self) -> str:
        texts = (wait_of(one.folder) for one in self.ledger.live if not self._named.isdisjoint(one.jobs))
        return next(filter(None, texts), "")

    def wait(self, show: Callable[[Progress], None]) -> Progress:
        """Look until nobody is at work on any of the jobs."""
        while not (progress := self.look()).over:
            show(progress)
            time.sleep(POLL_S)
            self._advance()
        show(progress)
        return progress

    def _advance(self) -> None:
        """See on a cluster, less and less often, what has ended without a word, and what is to follow."""
        if time.monotonic() < self._advance_at or not any(one.array for one in self.ledger.live):
            return
        from seedfold.orchestrator.schedulers.advance import advance

        # A scheduler that does not answer is asked again later: the jobs go on without it.
        with contextlib.suppress(UnreachableError):
            advance(self._root, self.ledger.study)
        self._pause_s = min(1.5 * self._pause_s, _LONGEST_PAUSE_S)
        self._advance_at = time.monotonic() + self._pause_s


def stop_workers(study: StudyFolder) -> int:
    """Ask this machine's workers of a study to stop; asked a second time they kill. Returns how many were asked."""
    workers = [submission.worker() for submission in Ledger(study).live]
    return sum(worker.signal(signal.SIGTERM) for worker in workers if worker is not None)
