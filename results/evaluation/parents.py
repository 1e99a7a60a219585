"""The parents of a job as runs, for stages that put results together."""

from __future__ import annotations

from seedfold.jobs.work import Work
from seedfold.results.evaluation.axes import address_key
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import load_result


def parent_runs(work: Work) -> list[FinishedJob]:
    """Return the parents, in an order that does not depend on how they are listed."""
    runs = []
    for parent, folder in work.parents.items():
        result = load_result(folder)
        stage = work.stages.get(parent, result.stage)
        runs.append(FinishedJob(parent, result.study, stage, result.axes, result.attempt, folder, config=result.config))
    return sorted(runs, key=lambda each: address_key(each.stage, each.axes))
