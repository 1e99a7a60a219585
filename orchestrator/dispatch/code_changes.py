"""What a launch does about changes of the code: it accepts them or reports them, and does not mix versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.code.accepted_changes import AcceptedChange, accept_changes
from seedfold.orchestrator.code.comparison import CodeComparison, CodeKey
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.state.code_versions import CodeVersions, FinishedAttempt
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.state.launch_plan import PlannedJob
from seedfold.orchestrator.state.stale_lines import WaysOn, package_lines, stale_lines


def accept_code(study: StudyFolder, comparison: CodeComparison, jobs: Iterable[PlannedJob]) -> None:
    """Record that the code of today computes the same as the code that computed the done jobs among these."""
    accept_changes(study, (change for planned in jobs for change in _changes_since(comparison, planned)))


def _changes_since(comparison: CodeComparison, planned: PlannedJob) -> Iterator[AcceptedChange]:
    event = planned.job_state.event
    if planned.job_state.state == "done" and event is not None:
        key = CodeKey(planned.job_state.holding_study, event["code"], planned.job.run)
        trained = comparison.trained(key)
        for code in [key] if trained is None else [key, trained]:
            yield from comparison.changes(code)


def split_mixed(
    comparison: CodeComparison, states: JobStates, jobs: Iterable[PlannedJob], starting: Sequence[PlannedJob]
) -> tuple[list[PlannedJob], list[PlannedJob]]:
    """Split ``starting`` into jobs to start and jobs whose parents would have been computed by several versions."""
    done = [planned for planned in jobs if planned.job_state.state == "done"]
    attempts = [
        FinishedAttempt(planned.job, planned.job_state.holding_study, planned.job_state.event)
        for planned in done
        if planned.job_state.event is not None
    ]
    versions = CodeVersions(comparison, states, attempts)
    ids = {planned.job.id for planned in starting}
    mixed = {planned.job.id for planned in starting if versions.has_mixed_parents(planned.job, ids)}
    kept: list[PlannedJob] = []
    for planned in starting:
        if any(parent in mixed for parent in planned.job.parents):
            mixed.add(planned.job.id)
        elif planned.job.id not in mixed:
            kept.append(planned)
    return kept, [planned for planned in starting if planned.job.id in mixed]


def code_notes(
    comparison: CodeComparison, jobs: Iterable[PlannedJob], starting: Iterable[PlannedJob], mixed: int, ways: WaysOn
) -> tuple[str, ...]:
    """Report, in one line per kind of change, which jobs are stale and not started, and how many are ``mixed``."""
    started = {planned.job.id for planned in starting}
    left = [planned for planned in jobs if planned.job.id not in started]
    lines = [*stale_lines(left, ways), *package_lines(left, comparison)]
    if mixed:
        jobs_are = count_noun(mixed, "job is", "jobs are")
        lines.append(
            f"{jobs_are} not started, because {'its' if mixed == 1 else 'their'} parents come from several versions of "
            f"the code; to have one version, use {ways.rerun} or {ways.accept}"
        )
    return tuple(lines)
