"""What the page shows first of a study: counts, progress and end, the headline table, failures, queue and notes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from operator import sub
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.terminal_text import terminal_log
from seedfold.jobs.work import DataFailure
from seedfold.orchestrator.dispatch.cancel import STATES_TO_CANCEL, is_to_cancel
from seedfold.orchestrator.dispatch.queue_view import view_queue
from seedfold.orchestrator.page.answers import one_line
from seedfold.orchestrator.page.commands import failure_command, failure_kind, study_commands
from seedfold.orchestrator.page.kept_studies import KeptStudy, Snapshot
from seedfold.orchestrator.page.picked_views import PickedViews
from seedfold.orchestrator.page.search_tab import has_search
from seedfold.orchestrator.state.expected_end import seconds_to_end
from seedfold.orchestrator.state.failure_places import MOST_GROUPS, find_failure_places
from seedfold.orchestrator.state.job_states import ACTIVE_STATES
from seedfold.orchestrator.state.job_views import groups_of, others_of, with_axes
from seedfold.orchestrator.state.overview import (
    FailureGroup,
    JobView,
    group_failures,
    nothing_to_do_lines,
    removed_ids,
    status_notes,
    status_to_json,
)
from seedfold.orchestrator.state.running_jobs import RunningJob, find_running
from seedfold.orchestrator.state.selecting_conditions import value_key
from seedfold.orchestrator.state.study_logs import read_end
from seedfold.results.evaluation.axes import short_names

_MOST_VALUES = 200
_MOST_IDS = 200
_SAMPLED = 50
"""How many results are looked at for the names of metrics."""
_MOST_SETTINGS = 10
_WAIT_S = 0.15
_QUEUE_EVERY_S = 20


def make_summary(study: KeptStudy) -> dict[str, Any]:
    """Return the first view of a study; see ``docs/how-to/serve.md``."""
    snapshot = study.snapshot()
    lasting = study.once(snapshot.version, ("summary",), lambda: _lasting_part(study, snapshot))
    running = find_running(snapshot.unique)
    headline, problem = None, None
    try:
        headline, is_current = study.headline.get(snapshot.version, lambda: _make_headline(study), _WAIT_S)
    except (SeedfoldError, DataFailure, OSError) as error:
        is_current, problem = True, one_line(error)
    return {
        **lasting,
        "eta_s": seconds_to_end(snapshot.unique, running),
        "elapsed_s": _elapsed_s(snapshot.unique),
        "running": [_running(job) for job in running],
        "headline": headline,
        "headline_pending": not is_current,
        "queue": _queue_lines(study),
        **({"problem": problem} if problem else {}),
    }


def _make_headline(study: KeptStudy) -> dict[str, Any] | None:
    from seedfold.orchestrator.page.headline_table import make_headline

    return make_headline(study)


def _running(job: RunningJob) -> dict[str, Any]:
    more = {"stage": job.job.stage, "host": job.host, "elapsed_s": job.elapsed_s, "left_s": job.left_s}
    return job.to_json() | more | {"previous": job.previous}


def _lasting_part(study: KeptStudy, snapshot: Snapshot) -> dict[str, Any]:
    """What changes only if the state of a job does."""
    counts = status_to_json(study.name, snapshot.views)
    with study.lock:
        notes = [*nothing_to_do_lines(snapshot.unique), *status_notes(study.overview, snapshot.views)]
    stages = [
        {"stage": stage, "states": states, "jobs": sum(states.values()), "done": states["done"]}
        for stage, states in counts["stages"].items()
    ]
    done = PickedViews.all(snapshot.unique).in_states({"done"})
    return {
        "study": study.name,
        "jobs": counts["jobs"],
        "states": counts["states"],
        "stages": stages,
        "axes": list(_axes(snapshot.views)),
        "metrics": study.results.names(done[:: max(1, len(done) // _SAMPLED)]),
        "failures": list(_failures(study, snapshot)),
        "notes": notes,
        "commands": study_commands(study, counts, _count_to_cancel(study, snapshot)),
        "has_search": has_search(study),
    }


def _count_to_cancel(study: KeptStudy, snapshot: Snapshot) -> Mapping[str, int]:
    """Count by state the jobs that `cancel` would cancel, also those of points that the study no longer has."""
    found = [(view.job, view.state) for view in others_of(snapshot.unique) if view.state in STATES_TO_CANCEL]
    with study.lock:
        ledger, states = study.overview.ledger, study.overview.states
        found += [(ledger.plans.jobs[job], states.of(job).state) for job in removed_ids(study.overview)]
    return Counter(state for job, state in found if is_to_cancel(job, state))


def _axes(views: Sequence[JobView]) -> Iterator[dict[str, Any]]:
    values: dict[str, dict[Hashable, Any]] = {}
    for view in with_axes(views):
        for name, value in view.axes.items():
            values.setdefault(name, {}).setdefault(value_key(value), value)
    short = short_names(list(values))
    for name, found in values.items():
        yield {"key": name, "name": short[name], "values": list(found.values())[:_MOST_VALUES], "total": len(found)}


def _failures(study: KeptStudy, snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    groups = group_failures(snapshot.unique)
    if not groups:
        return
    of_kind: dict[str, list[JobView]] = {}
    for view in others_of(snapshot.unique):
        if view.state == "failed":
            of_kind.setdefault(failure_kind(view), []).append(view)
    for number, (group, place) in enumerate(zip(groups, find_failure_places(groups, snapshot.unique), strict=True)):
        failed = [snapshot.view_of(job) for job in group.jobs]
        condition = place.condition
        yield {
            "kind": group.kind,
            "reason": group.example["reason"],
            "count": group.job_count,
            "jobs": list(group.jobs[:_MOST_IDS]),
            "axes": [dict(view.axes) for view in failed[:_MOST_IDS]],
            # Which jobs fail so: those that meet the condition, and no others that have ended.
            "condition": condition.text if condition else None,
            "settings": [each for each in _axes(failed) if each["total"] <= _MOST_SETTINGS],
            "log_end": _log_end(group),
            "command": failure_command(study, group.kind, failed, of_kind[group.kind])
            if number < MOST_GROUPS
            else None,
        }


def _log_end(group: FailureGroup) -> str:
    log = group.example["log"]
    return _end_of_log(Path(log)) if log else ""


def _end_of_log(file: Path) -> str:
    lines, _ = read_end(file)
    return "".join(terminal_log([b"\n".join(lines)]))


def _elapsed_s(views: Sequence[JobView]) -> float | None:
    """Return the seconds from the first start to now, or to the last end where no job is active."""
    began, ended = list[float](), list[float]()
    for group in groups_of(views):
        began += map(sub, group.ended, group.seconds)
        ended += group.ended
    others = others_of(views)
    for view in others:
        event = view.job_state.event
        if event is not None and event["e"] != "cancelled":
            began.append(float(event["t"]) - float(event.get("seconds", 0.0)))
            ended.append(float(event["t"]))
    if not began:
        return None
    is_active = any(view.state in ACTIVE_STATES for view in others)
    return max(0.0, (time.time() if is_active else max(ended)) - min(began))


def _queue_lines(study: KeptStudy) -> list[str]:
    with study.lock:
        ledger = study.overview.ledger
        if not any(submission.array for submission in ledger.live_submissions):
            return []
    try:
        lines, _ = study.queue.get(
            int(time.time() / _QUEUE_EVERY_S), lambda: view_queue(study.root, ledger).lines(), _WAIT_S
        )
    except (SeedfoldError, OSError) as error:
        return [f"the queue cannot be looked at: {one_line(error)}"]
    return lines or []
