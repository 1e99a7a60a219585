"""``seedfold run JOB``: one job in the foreground, to see what it does. Ledger and store do not change.

With ``--record`` its result is recorded, as by the commands that `render` writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.secret_values import traceback_text
from seedfold.jobs.work import RunInterrupted, Work
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import add_folder_to_import_path
from seedfold.orchestrator.cli.console import print_note, print_text
from seedfold.orchestrator.dispatch.rendered_job import DescriptionsFile, RecordedJobs
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.settings.failures import NanPolicy, RetryPolicies
from seedfold.orchestrator.state.imported_predictions import is_import
from seedfold.orchestrator.state.job_lookup import find_job
from seedfold.orchestrator.state.job_states import JobState
from seedfold.orchestrator.state.overview import job_label
from seedfold.orchestrator.worker.called_run import call_run
from seedfold.orchestrator.worker.foreground import (
    ParentResults,
    add_launch_folder_to_path,
    find_parent_results,
    make_scratch_work,
    read_job_description,
    set_job_environment,
    with_step_limit,
)
from seedfold.orchestrator.worker.job_log import start_logging
from seedfold.orchestrator.worker.job_process import import_run
from seedfold.orchestrator.worker.nan_metrics import nan_metrics_in, refuse_nan_metrics
from seedfold.orchestrator.worker.resume_check import check_resume
from seedfold.results.recording.attempt_file import Attempt


@click.command()
@options.job
@click.option("--jobs", "file", metavar="FILE", help="Read the job from a file that plan --jobs wrote.")
@click.option("--record", is_flag=True, help="Record the attempt and its result under the root. Needs --jobs.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Stop after N training steps.")
@click.option("--pdb", "debugger", is_flag=True, help="Start the debugger at the line where the job fails.")
@click.option(
    "--check-resume", "check", is_flag=True, help="Try whether a kill changes the result: train, kill, go on, compare."
)
@options.within_study
@options.common
@click.pass_context
def command(
    context: click.Context,
    job: Sequence[str],
    file: str | None,
    record: bool,
    steps: int | None,
    debugger: bool,
    check: bool,
    study: str | None,
    root: Root,
) -> None:
    """Run a JOB in the foreground, in a scratch folder, which is not deleted. The study does not change.

    With --record and a --jobs file that render wrote, the job runs as in a launch: its result is recorded, and a second
    command for the same job does nothing. Several jobs may be given then, and are trained together if fuse of the study
    says so. Exit code 0 means that all are done.
    """
    add_folder_to_import_path()
    if record:
        if file is None or steps or debugger or study or check:
            raise UsageError(
                "--record needs --jobs FILE, and cannot be used with --steps, --pdb, --check-resume and --study"
            )
        context.exit(_run_recorded(root, _id_prefixes(job), Path(file)))
    if check:
        if debugger:
            raise UsageError("--check-resume runs the job in other processes; leave --pdb out")
        context.exit(_check_resume(root, job, study, steps, file))
    work, policy = _work_from_file(job, file, steps) if file else _work_from_ledger(root, job, study, steps)
    print_text(f"{job_label(work.description)}", f"scratch folder {work.staging.parent}")
    sys.stdout.flush()
    context.exit(_run_work(work, policy, debugger))


def _check_resume(root: Root, words: Sequence[str], study: str | None, steps: int | None, file: str | None) -> int:
    """Train, kill, go on and compare. Returns the exit code."""
    found = check_resume(
        lambda: (_work_from_file(words, file, steps) if file else _work_from_ledger(root, words, study, steps))[0]
    )
    if found.differences:
        print_text("after a kill the result is another one", *found.differences, style="yellow")
        return 1
    print_text(f"after a kill the result is the same, bit by bit: {', '.join(found.compared)}")
    return 0


def _run_recorded(root: Root, prefixes: Sequence[str], file: Path) -> int:
    """Run jobs and record their results. Returns the exit code."""
    recorded = RecordedJobs(root, DescriptionsFile(file), prefixes, Path.cwd())
    texts = {"done": "is done already", "running": "is running already; waiting for its end"}
    before = recorded.states()
    print_text(
        *(f"{job_label(job)}: {texts.get(one.state, 'starts')}" for job, one in zip(recorded.jobs, before, strict=True))
    )
    sys.stdout.flush()
    recorded.run()
    after = recorded.states()
    for job, was, state in zip(recorded.jobs, before, after, strict=True):
        if was.state != "done":
            print_text(_end_text(recorded, job, state))
    return 0 if all(state.state == "done" for state in after) else 1


def _end_text(recorded: RecordedJobs, job: JobDescription, state: JobState) -> str:
    log = state.holding_study.log_file(job.id, state.attempt)
    reason = state.reason or recorded.missing_parent(job)
    reason = f": {reason}" if reason and state.state != "done" else ""
    return f"{job_label(job)}: {state.state}{reason}" + (f"; log {log}" if log.exists() else "")


def _single_id_prefix(words: Sequence[str]) -> str:
    if len(words) != 1:
        raise UsageError("--jobs takes one JOB by the first characters of its id; several only with --record")
    return _id_prefixes(words)[0]


def _id_prefixes(words: Sequence[str]) -> Sequence[str]:
    if not words or any("=" in word for word in words):
        raise UsageError("--jobs takes a JOB by the first characters of its id")
    return words


def _work_from_file(words: Sequence[str], file: str, steps: int | None) -> tuple[Work, NanPolicy]:
    job = read_job_description(Path(file), _single_id_prefix(words))
    if job.parents:
        raise UsageError(
            f"{job.short_id}: has parents, and their results are not in the file; launch the study of the job instead"
        )
    return make_scratch_work(_with_step_limit(job, steps), ParentResults()), RetryPolicies.parse({}).nan


def _work_from_ledger(root: Root, words: Sequence[str], study: str | None, steps: int | None) -> tuple[Work, NanPolicy]:
    found = find_job(root, words, study)
    refuse_copy(found.study)
    if is_import(found.job):
        raise UsageError(f"{found.job.short_id}: was imported and cannot be run")
    folder = add_launch_folder_to_path(found.study)
    header = Ledger(found.study).plans.header
    policies = RetryPolicies.parse((header.settings.get("failures") if header else None) or {})
    parents = find_parent_results(root, found.study, found.job)
    return make_scratch_work(_with_step_limit(found.job, steps), parents, folder), policies.nan


def _with_step_limit(job: JobDescription, steps: int | None) -> JobDescription:
    return job if steps is None else with_step_limit(job, steps)


def _run_work(work: Work, policy: NanPolicy, debugger: bool) -> int:
    start_logging()
    set_job_environment(work.description)
    try:
        call_run(import_run(work.description.run), work, Attempt(work.description, work.attempt, work.folder))
        refuse_nan_metrics(work.staging, policy)
    except RunInterrupted as interruption:
        print_text(f"interrupted: {interruption}")
        return 1
    except Exception as error:
        print_note(traceback_text(error, os.environ).rstrip(), prefix="")
        if debugger:
            import pdb

            pdb.post_mortem(error.__traceback__)
        return 1
    for path in sorted(path for path in work.staging.rglob("*") if path.is_file()):
        print_text(f"wrote {path}")
    names = nan_metrics_in(work.staging)
    print_text(*([f"metrics that are nan: {', '.join(names)}"] if names else []), style="yellow")
    return 0
