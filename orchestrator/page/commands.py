"""The command lines that the page shows: it does nothing itself, and says how to do it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence, Set
from typing import Any

from seedfold.orchestrator.dispatch.cancel import STATES_TO_CANCEL, is_to_cancel
from seedfold.orchestrator.page.kept_studies import KeptStudy
from seedfold.orchestrator.page.picked_views import in_states
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, STATES
from seedfold.orchestrator.state.job_views import with_axes
from seedfold.orchestrator.state.overview import JobView
from seedfold.orchestrator.state.selecting_conditions import (
    MOST_TOLD_APART,
    Condition,
    condition_value,
    find_condition,
    name_jobs,
)

_SELECTING = (
    ("run again the {} that {} done", "rerun", frozenset({"done"})),
    ("start the {} that {} not done", "resume", frozenset(STATES) - {"done", "paused", *ACTIVE_STATES}),
    ("hold the {} that {} not begun", "hold", frozenset({"waiting", "submitted"})),
    ("cancel the {} that {} not ended", "cancel", STATES_TO_CANCEL),
)
"""What commands do with the jobs that they are told to choose from, and in which states these are."""


_NOT_CANCELLED = frozenset(STATES) - {"cancelled"}


def study_commands(study: KeptStudy, counts: Mapping[str, Any], to_cancel: Mapping[str, int]) -> list[dict[str, str]]:
    """Return what one can do with a whole study; ``counts`` is what `status_to_json` says of it.

    ``to_cancel`` counts by state the jobs that `cancel` would cancel.
    """
    name, root = _words(study)
    states = {state for state, count in counts["states"].items() if count}
    to_start = _counted(counts["states"], states - {"done", "paused", *ACTIVE_STATES})
    to_start_kept = _counted(counts["states"], states - {"done", "paused", "cancelled", *ACTIVE_STATES})
    kinds = (
        (states & ACTIVE_STATES, "follow it in a terminal", f"seedfold watch {name} {root}"),
        (states & {"running"}, "follow the logs of its running jobs", f"seedfold logs {name} -f {root}"),
        (
            states - {"done", "paused", *ACTIVE_STATES},
            f"start the jobs that are not done ({to_start})",
            f"seedfold resume {name} {root}",
        ),
        (
            "cancelled" in states and to_start_kept,
            f"start those of them that are not cancelled ({to_start_kept})",
            f"seedfold resume {name} --keep-cancelled {root}",
        ),
        (states & {"waiting", "submitted"}, "hold the jobs that have not begun", f"seedfold hold {name} {root}"),
        (counts["held"], "let held jobs go on", f"seedfold release {name} {root}"),
        (
            to_cancel,
            f"cancel the jobs that have not ended ({_counted(to_cancel, to_cancel.keys())})",
            f"seedfold cancel {name} {root}",
        ),
        (True, "write a report to send", f"seedfold report {name} {root}"),
    )
    return _listed({does: command for applies, does, command in kinds if applies})


def selection_commands(
    study: KeptStudy, where: Sequence[str], stages: Sequence[str], selected: Sequence[JobView], shown: Sequence[JobView]
) -> dict[str, Any]:
    """Return what one does with the jobs that are ``shown``, of those ``selected`` by ``where`` and ``stages``.

    No command selects by state. Where the states that are not shown would be met too, a condition on settings is added
    that leaves them out; where there is none, the command is not offered, and ``note`` says so.
    """
    chosen = [*(f"--where {shlex.quote(each)}" for each in where), *(f"--stage {shlex.quote(each)}" for each in stages)]
    name, root = _words(study)
    status, results = (
        " ".join(["seedfold", *words, *chosen, root]) for words in (("status", name), ("results", name, "runs"))
    )
    has_results = any(view.state == "done" for view in shown)
    all_shown = len(selected) == len(shown)
    kinds = {"count them by state": status} if all_shown else {}
    kinds |= {"print their results": results} if all_shown and has_results else {}
    is_missing = False
    for does, command, states in _SELECTING:
        wanted, met = in_states(shown, states), in_states(selected, states)
        if command == "cancel":
            wanted, met = ([view for view in found if is_to_cancel(view.job, view.state)] for found in (wanted, met))
        if not wanted:
            continue
        options = (command == "resume" and _resume_options(wanted, met)) or _options(_tell_apart(wanted, met))
        is_missing |= options is None
        # Running everything again takes a condition, so that nobody does it by a slip.
        if options is not None and (command != "rerun" or chosen or options):
            line = " ".join(["seedfold", command, name, *chosen, *options, root])
            kinds[_selecting_text(does, command, wanted)] = line
        kept = in_states(wanted, _NOT_CANCELLED)
        if command == "resume" and 0 < len(kept) < len(wanted):
            kept_options = _options(_tell_apart(kept, in_states(met, _NOT_CANCELLED)))
            if kept_options is not None:
                line = " ".join(["seedfold resume", name, "--keep-cancelled", *chosen, *kept_options, root])
                kinds[f"start those of them that are not cancelled ({len(kept):,})"] = line
    return {
        "command": results if has_results else status,
        "commands": _listed(kinds),
        "note": "No condition on settings selects just these jobs for a command." if is_missing else None,
    }


def _selecting_text(does: str, command: str, wanted: Sequence[JobView]) -> str:
    count = f"{len(wanted):,}" if len(wanted) > 1 else "one"
    has, be = ("has", "is") if len(wanted) == 1 else ("have", "are")
    cancelled = len(wanted) - len(in_states(wanted, _NOT_CANCELLED))
    more = f", {cancelled:,} of them cancelled" if 0 < cancelled < len(wanted) else ""
    return does.format(count, has if command in {"hold", "cancel"} else be) + more


def failure_command(study: KeptStudy, kind: str, failed: Sequence[JobView], alike: Sequence[JobView]) -> str | None:
    """Return how to start again the jobs that ``failed`` in one way, and none of those ``alike`` in their kind.

    None if no condition selects them.
    """
    found = _tell_apart(failed, alike)
    if found is None:
        return None
    name, root = _words(study)
    return " ".join([f"seedfold resume {name} --kind {shlex.quote(kind)}", *found.options, root])


def failure_kind(view: JobView) -> str:
    """The kind of a failed job's failure."""
    return str((view.job_state.event or {}).get("kind"))


def _resume_options(wanted: Sequence[JobView], among: Sequence[JobView]) -> list[str]:
    """Options that start the failed jobs of some kinds, or all but the cancelled ones; none if this is not wanted.

    Where nothing else can be started either, the condition that is chosen already says all.
    """
    if len(wanted) == len(among):
        return []
    if all(view.state == "failed" for view in wanted):
        kinds = dict.fromkeys(map(failure_kind, wanted))
        alike = sum(view.state == "failed" and failure_kind(view) in kinds for view in among)
        if alike == len(wanted):
            return [f"--kind {shlex.quote(kind)}" for kind in kinds]
    kept = [view for view in among if view.state != "cancelled"]
    is_all_but_cancelled = len(kept) == len(wanted) and all(view.state != "cancelled" for view in wanted)
    return ["--keep-cancelled"] if is_all_but_cancelled else []


def _options(found: Condition | None) -> list[str] | None:
    return None if found is None else found.options


def _tell_apart(wanted: Sequence[JobView], among: Sequence[JobView]) -> Condition | None:
    """A condition on settings, else on the ids of a few jobs."""
    if len(wanted) == len(among):
        return Condition()
    is_small = len(among) <= MOST_TOLD_APART
    found = find_condition(list(with_axes(wanted)), list(with_axes(among))) if is_small else None
    return found or name_jobs([view.id for view in wanted])


def job_commands(study: KeptStudy, view: JobView, *, has_weights: bool) -> list[dict[str, str]]:
    """Return how to repeat a job, to show it, and to export its weights."""
    name, root = _words(study)
    job = view.job
    where = " ".join(f"{key}={condition_value(value)}" for key, value in job.axes.items())
    selected = f"--stage {shlex.quote(job.stage)}" + (f" --where {shlex.quote(where)}" if where else "")
    again = "rerun" if view.state == "done" else "resume"
    kinds = {
        "try it here, beside the study": f"seedfold run {job.short_id} --study {name} {root}",
        "show it in the terminal": f"seedfold show {job.short_id} --study {name} {root}",
    }
    if view.state not in ACTIVE_STATES:
        does = "run it again in the study" if view.state == "done" else "start it in the study"
        kinds[does] = f"seedfold {again} {name} {selected} {root}"
    else:
        kinds["cancel it"] = f"seedfold cancel {name} {selected} {root}"
        kinds["follow its log"] = f"seedfold logs {job.short_id} -f --study {name} {root}"
    if has_weights:
        kinds["write its weights to a file"] = (
            f"seedfold export {job.short_id} weights.safetensors --study {name} {root}"
        )
    return _listed(kinds)


def _counted(counts: Mapping[str, int], states: Set[str]) -> str:
    return ", ".join(f"{counts[state]:,} {state}" for state in STATES if state in states)


def _words(study: KeptStudy) -> tuple[str, str]:
    return shlex.quote(study.name), f"--root {shlex.quote(str(study.root.path))}"


def _listed(kinds: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"does": does, "command": command} for does, command in kinds.items()]
