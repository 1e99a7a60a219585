"""Doing finished jobs of a study again, and what follows from them; whatever kind of study it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seedfold.orchestrator.dispatch.resume import resume
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection, TellSelected
from seedfold.orchestrator.state.launch_plan import PlannedJob


def rerun(
    root: Root,
    name: str,
    overrides: Sequence[str] = (),
    *,
    selection: Selection | None = None,
    only_stale: bool = False,
    folder: Path | None = None,
    tell: TellSelected | None = None,
) -> LaunchResult:
    """Start the done jobs of a selection again, from their beginning, and the jobs that are computed from them.

    ``only_stale`` leaves out what would come out the same today. ``overrides``, ``folder`` and ``tell`` are as for
    `resume`, which says what is raised. A job keeps its result until the new one is complete.
    """
    chosen_from = selection or Selection()

    def choose(planned: Sequence[PlannedJob]) -> list[PlannedJob]:
        done = [one for one in planned if one.state == "done" and (one.changes or not only_stale)]
        wanted = {one.job.id for one in chosen_from.apply(done, lambda one: one.job)}
        starting: dict[str, PlannedJob] = {}
        for one in planned:
            follows = one.state in {"done", "blocked"} and any(parent in starting for parent in one.job.parents)
            if one.job.id in wanted or follows:
                starting[one.job.id] = one
        return list(starting.values())

    return resume(root, name, overrides, selection=selection, folder=folder, choose=choose, tell=tell)
