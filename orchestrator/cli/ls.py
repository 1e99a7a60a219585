"""``seedfold ls``: the studies of the root; `status` without a study prints the same."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from seedfold.jobs.errors import count_noun
from seedfold.jobs.times_text import about_text
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import (
    StyledLine,
    align_rows,
    counts_text,
    make_lines,
    output_width,
    print_json,
    print_lines,
    size_text,
)
from seedfold.orchestrator.ledger.deleted_studies import interrupted_lines
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_states import STATES
from seedfold.orchestrator.state.study_list import StudySummary, list_studies


@click.command()
@options.as_json
@options.common
def command(as_json: bool, root: Root) -> None:
    """List the studies of the root: number of jobs by state, last activity, owner, size on disk, and report."""
    print_studies(root, as_json)


def print_studies(root: Root, as_json: bool) -> None:
    """Print the studies of a root."""
    studies = list(list_studies(root))
    if as_json:
        print_json([study.to_json() for study in studies])
    else:
        print_lines(study_lines(root, studies))


def study_lines(root: Root, studies: Sequence[StudySummary]) -> list[StyledLine]:
    """A table with a row for each study; if it is too wide for the terminal, one line for each in words."""
    half_deleted = make_lines(*interrupted_lines(root), style="yellow")
    if not studies:
        return [*make_lines(f"no study under {root.path}; name another root with --root"), *half_deleted]
    header = ("study", "jobs", "states", "last activity", "owner", "size")
    rows = [header, *(_cells(study) for study in studies)]
    texts = align_rows(rows, right=(1, 5))
    if max(map(len, texts)) > output_width():
        texts = ["", *(_words(study) for study in studies)]
    lines = [*make_lines(*filter(None, texts[:1]), style="dim"), *make_lines(*texts[1:])]
    problems = [f"{study.study} cannot be read: {study.problem}" for study in studies if study.problem]
    reports = [f"report  {study.report}" for study in studies if study.report]
    return [*lines, *make_lines(*problems, style="yellow"), *half_deleted, *make_lines(*reports)]


def _cells(study: StudySummary) -> tuple[str, ...]:
    states = "cannot be read" if study.states is None else counts_text(study.states, STATES)
    jobs = "" if study.jobs is None else str(study.jobs)
    return study.study, jobs, states, _ago(study.last_activity), study.owner, size_text(study.bytes or 0)


def _words(study: StudySummary) -> str:
    _, _, states, activity, owner, size = _cells(study)
    jobs = "" if study.jobs is None else f"{count_noun(study.jobs, 'job')}, "
    return f"{study.study}: {jobs}{states}; {activity}; {owner}; {size}"


def _ago(seconds_since_epoch: float) -> str:
    return f"{about_text(max(0.0, time.time() - seconds_since_epoch)).removeprefix('about ')} ago"
