"""``seedfold explain JOB JOB``: why two jobs differ."""

from __future__ import annotations

import json
import shlex
from typing import Any

import click

from seedfold.jobs.errors import count_noun
from seedfold.jobs.job_differences import Difference, find_differences
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_json, print_text
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_lookup import FoundJob, find_job
from seedfold.orchestrator.state.overview import Overview, job_label


@click.command()
@click.argument("first", metavar="JOB")
@click.argument("second", metavar="JOB")
@options.within_study
@options.as_json
@options.common
def command(first: str, second: str, study: str | None, as_json: bool, root: Root) -> None:
    """Show the configuration keys in which two jobs differ, and say which of these keys are not part of the id.

    A JOB is the first characters of an id, or an address in quotes: 'train seed=3 fold=1'.
    """
    left, right = (find_job(root, shlex.split(words), study) for words in (first, second))
    identity = Overview(root, left.study.name).settings["identity"]
    differences = find_differences(left.job, right.job, identity)
    if as_json:
        print_json(_to_json(left, right, differences))
        return
    print_text(f"{left.study.name}  {job_label(left.job)}", f"{right.study.name}  {job_label(right.job)}")
    print_text(*(f"  {_difference_text(one)}" for one in differences))
    print_text(_verdict_text(left, right, differences))


def _to_json(left: FoundJob, right: FoundJob, differences: list[Difference]) -> dict[str, Any]:
    listed = [{"key": one.key, "left": one.left, "right": one.right, "counts": one.counts} for one in differences]
    return {"jobs": [left.job.id, right.job.id], "same": left.job.id == right.job.id, "differences": listed}


def _difference_text(one: Difference) -> str:
    left, right = (json.dumps(value, ensure_ascii=False, default=str) for value in (one.left, one.right))
    return f"{one.key}: {left} → {right}" + ("" if one.counts else "  (not part of the id)")


def _verdict_text(left: FoundJob, right: FoundJob, differences: list[Difference]) -> str:
    if left.job.id == right.job.id:
        return "one job: no key that differs is part of the id" if differences else "one job"
    differing_keys = sum(one.counts for one in differences)
    keys = count_noun(differing_keys, "key that is part of the id", "keys that are part of the id")
    return f"two jobs: they differ in {keys}"
