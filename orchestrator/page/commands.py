"""The command lines that the page shows: it does nothing itself, and says how to do it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from seedfold.orchestrator.page.kept_studies import KeptStudy
from seedfold.orchestrator.state.job_states import ACTIVE_STATES
from seedfold.orchestrator.state.overview import JobView

_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.+-]+")


def study_commands(study: KeptStudy, counts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what one can do with a whole study; ``counts`` is what `status_to_json` says of it."""
    name, root = _words(study)
    states = {state for state, count in counts["states"].items() if count}
    kinds = (
        (states & ACTIVE_STATES, "follow it in a terminal", f"seedfold watch {name} {root}"),
        (states & {"running"}, "follow the logs of its running jobs", f"seedfold logs {name} -f {root}"),
        (
            states - {"done", *ACTIVE_STATES},
            "start those jobs again that are not done",
            f"seedfold resume {name} {root}",
        ),
        (states & {"waiting", "submitted"}, "hold the jobs that have not begun", f"seedfold hold {name} {root}"),
        (counts["held"], "let held jobs go on", f"seedfold release {name} {root}"),
        (states - {"done", "cancelled"}, "cancel the jobs that are not done", f"seedfold cancel {name} {root}"),
        (True, "write a report to send", f"seedfold report {name} {root}"),
    )
    return _listed({does: command for applies, does, command in kinds if applies})


def selection_commands(
    study: KeptStudy, where: Sequence[str], stages: Sequence[str], *, with_results: bool
) -> dict[str, Any]:
    """Return what one does with selected jobs, and which command shows them.

    No command selects by state; `resume` and `cancel` choose by it anyway.
    """
    chosen = [*(f"--where {shlex.quote(each)}" for each in where), *(f"--stage {shlex.quote(each)}" for each in stages)]
    name, root = _words(study)
    tail = " ".join([name, *chosen, root])
    status, results = f"seedfold status {tail}", " ".join(["seedfold results", name, "runs", *chosen, root])
    kinds = {
        "count these jobs by state": status,
        "print their results": results,
        "start those again that are not done": f"seedfold resume {tail}",
        "hold those that have not begun": f"seedfold hold {tail}",
        "cancel those that are not done": f"seedfold cancel {tail}",
        **({"run the done ones again": f"seedfold rerun {tail}"} if chosen else {}),
    }
    return {"command": results if with_results else status, "commands": _listed(kinds)}


def job_commands(study: KeptStudy, view: JobView, *, has_weights: bool) -> list[str]:
    """Return how to repeat a job, to show it, and to export its weights."""
    name, root = _words(study)
    job = view.job
    where = " ".join(f"{key}={_condition_value(value)}" for key, value in job.axes.items())
    selected = f"--stage {shlex.quote(job.stage)}" + (f" --where {shlex.quote(where)}" if where else "")
    again = "rerun" if view.state == "done" else "resume"
    weights = [f"seedfold export {job.short_id} weights.safetensors --study {name} {root}"] if has_weights else []
    return [
        f"seedfold run {job.short_id} --study {name} {root}",
        f"seedfold {again} {name} {selected} {root}",
        f"seedfold show {job.short_id} --study {name} {root}",
        *weights,
    ]


def _words(study: KeptStudy) -> tuple[str, str]:
    return shlex.quote(study.name), f"--root {shlex.quote(str(study.root.path))}"


def _listed(kinds: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"does": does, "command": command} for does, command in kinds.items()]


def _condition_value(value: Any) -> str:
    """A value as a condition takes it: quoted where it is not one plain word."""
    if isinstance(value, str):
        return value if _PLAIN_VALUE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
