"""What ``seedfold plan`` shows of a search: its space and its budget, because its jobs are not known yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seedfold.jobs.errors import count_noun
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.state.launch_plan import Plan

if TYPE_CHECKING:
    from seedfold.orchestrator.settings.search import SearchSettings


def searches(plan: Plan) -> bool:
    """Whether the study searches: nothing of a search is imported for other studies."""
    return SEARCH in plan.study.settings


def print_search(plan: Plan) -> None:
    """Print space and budget. Raises UsageError for a search that does not fit the study."""
    from seedfold.orchestrator.dispatch.search import search_settings
    from seedfold.orchestrator.search.plan_lines import space_lines

    settings = search_settings(plan)
    own, common = _count_jobs(plan, settings)
    shared = f", and {count_noun(common, 'job')} for all of them" if common else ""
    print_text(f"{plan.study.name}: a search; each trial is {count_noun(own, 'job')}{shared}", style="bold")
    print_text(*space_lines(settings))


def search_to_json(plan: Plan) -> dict[str, Any]:
    """The key ``search`` of ``plan --json``; empty for a study that does not search."""
    if not searches(plan):
        return {}
    from seedfold.orchestrator.dispatch.search import search_settings
    from seedfold.orchestrator.search.plan_lines import dimension_text

    settings = search_settings(plan)
    space = {key: dimension_text(dimension) for key, dimension in settings.space.items()}
    own, common = _count_jobs(plan, settings)
    counts = {"trials": settings.trials, "parallel": settings.parallel, "jobs_of_a_trial": own, "common_jobs": common}
    return {"search": {**counts, "space": space}}


def _count_jobs(plan: Plan, settings: SearchSettings) -> tuple[int, int]:
    """How many jobs each trial has, and how many all of them have in common."""
    from seedfold.orchestrator.dispatch.search import searched_stages

    own = sum(one.job.stage in searched_stages(plan.study, settings) for one in plan.jobs)
    return own, len(plan.jobs) - own
