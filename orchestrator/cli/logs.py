"""``seedfold logs JOB``: the log of an attempt; with ``-f`` also the lines that it prints from now on.

``seedfold logs STUDY`` prints those of many jobs, each line with its place.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from seedfold.jobs.errors import UsageError
from seedfold.jobs.terminal_text import terminal_log
from seedfold.orchestrator.cli import completion_values, options
from seedfold.orchestrator.cli.console import print_note, print_text
from seedfold.orchestrator.cli.pager import with_pager
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.job_logs import AttemptLog, follow_log, read_log
from seedfold.orchestrator.state.job_lookup import find_job
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.state.study_logs import StudyLogs


@click.command()
@click.argument("words", nargs=-1, metavar="JOB|STUDY", shell_complete=completion_values.jobs_and_studies)
@click.option("-f", "--follow", "following", is_flag=True, help="Keep printing new lines until the attempt ends.")
@click.option("--failed", is_flag=True, help="Of a study: print the last lines of each failed job.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Number of the attempt; default: the latest.")
@click.option("--raw", is_flag=True, help="Print every byte as it is, also those that control the terminal.")
@options.within_study
@options.selection
@options.common
@with_pager
def command(
    words: Sequence[str],
    following: bool,
    failed: bool,
    attempt: int | None,
    raw: bool,
    study: str | None,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Print the log of a JOB, without colours and other control characters.

    Of a STUDY, print the last lines of its running jobs, each with the place of its job; with -f follow all of them,
    with --failed print the last lines of its failed jobs. --where, --stage and --limit select some of these jobs.
    """
    selection = Selection.parse(where, stages)
    named = study if study and not words else _named_study(root, words)
    if named is None:
        if failed:
            raise UsageError("--failed: is for a study; write seedfold logs STUDY --failed")
        if selection.text or limit:
            raise UsageError("--where, --stage, --limit: are for a study; write seedfold logs STUDY --where COND")
        _print_job(root, words, study, attempt, following, raw)
    elif attempt is not None or raw or (failed and following):
        raise UsageError("--attempt and --raw are for one JOB, and --failed is not for -f")
    elif following and limit:
        raise UsageError("--limit: is not for -f; select the jobs with --where or --stage")
    else:
        _print_study(StudyLogs(Overview(root, named, only=selection), limit), following, failed)


def _named_study(root: Root, words: Sequence[str]) -> str | None:
    """The study that the only word names; None if it names a job."""
    return words[0] if len(words) == 1 and words[0] in {folder.name for folder in root.study_folders()} else None


def _print_job(
    root: Root, job: Sequence[str], study: str | None, attempt: int | None, following: bool, raw: bool
) -> None:
    found = find_job(root, job, study)
    log = AttemptLog.find(root, found, attempt, allow_pending=following)
    chunks = follow_log(log) if following else read_log(log)
    for chunk in chunks if raw else terminal_log(chunks):
        click.echo(chunk, nl=False)


def _print_study(logs: StudyLogs, following: bool, failed: bool) -> None:
    lines = logs.ends_of_failed() if failed else logs.follow() if following else logs.ends_of_running()
    printed = False
    for line in lines:
        for text in "".join(terminal_log([line.line])).splitlines() or [""]:
            print_text(f"{line.place} | {text}")
        sys.stdout.flush()
        printed = True
    if not printed:
        print_note("no job has failed" if failed else "no running job has printed anything")
