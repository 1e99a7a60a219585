"""``seedfold plan OVERRIDES…``: shows what would run and why. It changes nothing of any study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from seedfold.jobs.description import JobDescription
from seedfold.jobs.description_json import DescriptionEncoder
from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import add_folder_to_import_path
from seedfold.orchestrator.cli.console import (
    counts_table,
    duration_text,
    nonzero_columns,
    print_json,
    print_json_lines,
    print_lines,
    print_text,
    size_text,
)
from seedfold.orchestrator.cli.plan_search import print_search, search_to_json, searches
from seedfold.orchestrator.dispatch.fused_jobs import fuse_notes
from seedfold.orchestrator.dispatch.launch import make_plan
from seedfold.orchestrator.dispatch.pilot import Pilot, choose_pilot, pilot_lines, pilot_request
from seedfold.orchestrator.dispatch.planned_arrays import planned_arrays
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.plans import study_request
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.given_up import resume_text
from seedfold.orchestrator.state.held_lines import held_lines
from seedfold.orchestrator.state.job_states import STATES
from seedfold.orchestrator.state.launch_plan import (
    Plan,
    PlannedJob,
    Replacement,
    count_by_stage,
    count_random_starts,
    estimate_hours,
    replaced_keys,
)
from seedfold.orchestrator.state.learned_resources import FIELDS, unused_requests
from seedfold.orchestrator.state.stale_lines import OPTIONS, package_lines, stale_lines
from seedfold.results.store.named_output import open_output, refuse_folder


@click.command()
@options.overrides
@options.config_dirs
@click.option(
    "--jobs", "file", metavar="FILE", help="Write the description of every job as a line of JSON; - is standard output."
)
@click.option(
    "--check", type=options.Choice(["code"]), help="No longer needed: the code is always checked.", hidden=True
)
@options.pilot
@options.many
@options.selection
@options.as_json
@options.common
def command(
    overrides: Sequence[str],
    config_dirs: Sequence[Path],
    file: str | None,
    check: str | None,
    pilot: int | None,
    pilot_auto: bool,
    many: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    as_json: bool,
    root: Root,
) -> None:
    """Show which jobs a launch with these overrides would start and why, in which arrays, and at what cost. Nothing is
    started, and the study is not changed.

    Of a large study, what was read is kept in a cache beside its ledger, so that the next command is fast. This cache
    may be deleted."""
    if file is not None and "=" in Path(file).name:
        raise UsageError(f"--jobs: needs the name of a file, or - for standard output, before {file!r}")
    add_folder_to_import_path()
    selection = Selection.parse(where, stages, limit)
    plan = make_plan(root, overrides, config_dirs, many)
    selection.check_names(plan.descriptions)
    jobs = selection.apply(plan.jobs, lambda planned: planned.job)
    request = pilot_request(pilot, pilot_auto)
    chosen = None if request is None else choose_pilot(plan, request, selection)
    startable = plan.startable_jobs() if chosen is None else chosen.choose_startable(plan)
    starting = selection.apply(startable, lambda planned: planned.job)
    if file is not None:
        _write_jobs(jobs, file)
    if as_json:
        print_json(plan_to_json(plan, jobs, starting) | _held_json(jobs, chosen) | search_to_json(plan))
    elif file != "-" and searches(plan):
        print_search(plan)
    elif file != "-":
        _print_plan(plan, jobs, starting)
        _print_held(plan, jobs, chosen)
        _print_removed(plan.jobs_to_remove(study_request(overrides)))


def plan_to_json(plan: Plan, jobs: Sequence[PlannedJob], starting: Sequence[PlannedJob]) -> dict[str, Any]:
    """The JSON form that ``plan --json`` prints."""
    seconds = plan.seconds_by_stage()
    return {
        "study": plan.study.name,
        "jobs": len({planned.job.id for planned in jobs}),
        "stages": count_by_stage(jobs),
        "arrays": planned_arrays(plan, starting),
        "gpu_hours": estimate_hours(starting, seconds, "gpus"),
        "job_hours": estimate_hours(starting, seconds, "jobs"),
        "unused_requests": [
            {"stage": stage, "resource": FIELDS[key], "request": asked, "enough": enough}
            for stage, key, asked, enough in unused_requests(plan.history, (one.job for one in starting))
        ],
    }


def _held_json(jobs: Sequence[PlannedJob], pilot: Pilot | None) -> dict[str, Any]:
    """The keys ``held``, the number of jobs that are held already, and ``pilot``, what ``--pilot`` would do."""
    held = {"held": len({one.job.id for one in jobs if one.job_state.is_held})}
    return held if pilot is None else held | {"pilot": {"jobs": list(pilot.jobs), "held": list(pilot.held)}}


def _print_held(plan: Plan, jobs: Sequence[PlannedJob], pilot: Pilot | None) -> None:
    if pilot is not None:
        then = "released when these are done" if pilot.is_auto else f"held until seedfold release {plan.study.name}"
        print_text(f"pilot: {count_noun(len(pilot.jobs), 'job')} first; the other {len(pilot.held)} are {then}")
        print_text(*pilot_lines(plan, pilot))
    names = dict.fromkeys(one.job.id for one in jobs)
    print_text(*held_lines(plan.states, plan.study.name, names), style="yellow")


def _write_jobs(jobs: Iterable[PlannedJob], file: str) -> None:
    if file == "-":
        print_json_lines(planned.job.to_dict() for planned in jobs)
        return
    refuse_folder("--jobs", Path(file))
    encoder = DescriptionEncoder()
    with open_output(Path(file)) as output:
        # What UTF-8 cannot encode is written as a JSON escape.
        for planned in jobs:
            output.write((encoder.encode(planned.job) + "\n").encode(errors="backslashreplace"))


def _print_plan(plan: Plan, jobs: Sequence[PlannedJob], starting: Sequence[PlannedJob]) -> None:
    replacements = plan.find_replacements()
    _print_title(plan, jobs, replacements)
    rows = count_by_stage(jobs)
    print_lines(counts_table("stage", rows, ["jobs", *nonzero_columns(rows.values(), ("new", *STATES, "stale"))]))
    print_text(_starting_text(starting, "a launch with --replace" if replacements else "a launch"))
    for array in planned_arrays(plan, starting):
        print_text(f"  {array['stage']}: {_array_text(array)}{_tasks_text(array)}")
    for stage, count in count_random_starts(starting).items():
        print_text(f"  {stage}: {_random_start_text(count)}")
    if starting:
        print_text(_cost_text(plan, starting))
        print_text(*_unused_lines(plan, starting), style="yellow")
    _print_not_started(plan, jobs, starting)


def _print_removed(removed: Sequence[JobDescription]) -> None:
    if removed:
        jobs = count_noun(len({job.id for job in removed}), "job")
        print_text(
            f"{jobs} would be removed from the study, because it no longer names them; their results are kept",
            style="yellow",
        )


def _print_title(plan: Plan, jobs: Sequence[PlannedJob], replacements: Sequence[Replacement]) -> None:
    """Print the most important facts first: the number of jobs, and whether a launch would refuse them."""
    title = f"{plan.study.name}: {count_noun(len({planned.job.id for planned in jobs}), 'job')}"
    if not replacements:
        print_text(title, style="bold")
        return
    print_text(f"{title}; launch will refuse this without --replace or another study=NAME", style="yellow")
    print_text(f"{count_noun(len(replacements), 'job')} would be replaced, because of these keys:", style="yellow")
    print_text(*(f"  {line}" for line in replaced_keys(replacements, plan.study.settings["identity"])), style="yellow")


def _starting_text(starting: Sequence[PlannedJob], command_text: str) -> str:
    if not starting:
        return f"{command_text} would start nothing"
    reasons = Counter(_reason_text(planned) for planned in starting)
    return f"{command_text} would start {len(starting)}: " + ", ".join(
        f"{count} {why}" for why, count in reasons.items()
    )


def _reason_text(planned: PlannedJob) -> str:
    if planned.state == "done":
        return f"stale ({planned.stale})" if planned.stale else "because a parent runs again"
    reasons = {"failed": "failed, will be tried again", "blocked": "because a parent is tried again"}
    return reasons.get(planned.state, planned.state)


def _array_text(array: dict[str, Any]) -> str:
    gpus = f", {array['gpus']} GPU" if array["gpus"] else ""
    limits = f"{size_text(array['memory_bytes'])}, at most {duration_text(array['time_s'])}"
    return f"{count_noun(array['jobs'], 'job')}, each with {array['cpus']} CPU{gpus}, {limits}"


def _tasks_text(array: dict[str, Any]) -> str:
    """How jobs share the tasks of a cluster; empty if each has its own."""
    if array.get("jobs_per_task", 1) == 1:
        return ""
    packed = f"{count_noun(array['tasks'], 'task')} of {array['jobs_per_task']}"
    together, memory = array["trained_together"], size_text(array["task_memory_bytes"])
    if together > 1:
        most = "" if together == array["jobs_per_task"] else f"at most {together} of them "
        packed += f", {most}trained together"
    return f"; {packed}, each with {array['task_cpus']} CPU, {memory}, at most {duration_text(array['task_time_s'])}"


def _random_start_text(count: int) -> str:
    verb = "starts" if count == 1 else "start"
    return f"{count_noun(count, 'job')} {verb} from random weights, because model.pretrained is null"


def _cost_text(plan: Plan, starting: Sequence[PlannedJob]) -> str:
    seconds = plan.seconds_by_stage()
    costs = [(unit, estimate_hours(starting, seconds, unit)) for unit in ("gpus", "cpus", "jobs")]
    if any(cost is None for _, cost in costs):
        return "cost: unknown until one job of each stage is done"
    listed = [f"{cost:.2g} {unit[:3].upper() if unit != 'jobs' else 'job'} hours" for unit, cost in costs if cost]
    return f"cost, estimated from finished jobs: {', '.join(listed) or 'almost nothing'}"


def _unused_lines(plan: Plan, starting: Sequence[PlannedJob]) -> Iterator[str]:
    """Requests that are ten times what is used: they make jobs wait in a queue. On this machine they do no harm."""
    if ClusterSettings.parse(plan.study.settings["cluster"]).scheduler is None:
        return
    for stage, key, asked, enough in unused_requests(plan.history, (one.job for one in starting)):
        to_text = duration_text if key == "time" else size_text
        yield (
            f"{stage} asks for {to_text(asked)} of {key}, which is ten times what like jobs used or more;"
            f" {to_text(enough)} would do: resources.{key}=auto"
        )


def _print_not_started(plan: Plan, jobs: Sequence[PlannedJob], starting: Sequence[PlannedJob]) -> None:
    notes = (*plan.states.passed_over_lines(), *fuse_notes(plan))
    for line in (*stale_lines(jobs, OPTIONS), *package_lines(jobs, plan.code), *notes):
        print_text(f"plan: {line}", style="yellow")
    failed = sum(planned.state == "failed" for planned in jobs) - sum(one.state == "failed" for one in starting)
    if failed:
        not_retried = count_noun(failed, "failed job is", "failed jobs are")
        print_text(
            f"{not_retried} not tried again by launch; to try again: {resume_text(plan.states, jobs)}", style="yellow"
        )
