"""What ``seedfold plan`` shows of a search: its space and its budget, because its jobs are not known yet."""

from __future__ import annotations

from typing import Any

from seedfold.jobs.errors import count_noun
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.state.launch_plan import Plan


def searches(plan: Plan) -> bool:
    """Whether the study searches: nothing of a search is imported for other studies."""
    return SEARCH in plan.study.settings


def print_search(plan: Plan) -> None:
    """Print space and budget. Raises UsageError for a search that does not fit the study."""
    from seedfold.orchestrator.dispatch.search import search_settings
    from seedfold.orchestrator.search.plan_lines import space_lines

    settings = search_settings(plan)
    print_text(f"{plan.study.name}: a search; each trial is {count_noun(len(plan.jobs), 'job')}", style="bold")
    print_text(*space_lines(settings))


def search_to_json(plan: Plan) -> dict[str, Any]:
    """The key ``search`` of ``plan --json``; empty for a study that does not search."""
    if not searches(plan):
        return {}
    from seedfold.orchestrator.dispatch.search import search_settings
    from seedfold.orchestrator.search.plan_lines import dimension_text

    settings = search_settings(plan)
    space = {key: dimension_text(dimension) for key, dimension in settings.space.items()}
    counts = {"trials": settings.trials, "parallel": settings.parallel, "jobs_of_a_trial": len(plan.jobs)}
    return {"search": {**counts, "space": space}}
