"""``seedfold show JOB``: description, attempts, result, and the resolved configuration as YAML."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from seedfold.jobs.description import SHORT_ID_LENGTH
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import duration_text, output_width, print_json, print_text, size_text
from seedfold.orchestrator.cli.pager import with_pager
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.axes_text import axes_text
from seedfold.orchestrator.state.job_details import JobDetails
from seedfold.orchestrator.state.job_lookup import find_job
from seedfold.results.store.published import Result

_CURVES_WIDTH = 100


@click.command()
@options.job
@options.within_study
@options.as_json
@options.common
@with_pager
def command(job: Sequence[str], study: str | None, as_json: bool, root: Root) -> None:
    """Show the details of a JOB: its state, attempts, result, log files and configuration."""
    details = JobDetails(root, find_job(root, job, study))
    if as_json:
        print_json(details.to_json())
        return
    _print_description(details)
    _print_code(details.snapshot_info())
    for attempt in details.attempts():
        _print_attempt(attempt)
    _print_files(details)
    result = details.latest_result()
    if result is not None:
        _print_result(result, str(details.holding_study.result_folder(result.id, result.attempt)))
    _print_curves(details)
    print_text("", "# the resolved configuration", details.config_text())


def _print_description(details: JobDetails) -> None:
    job, view = details.job, details.view
    stale = f", stale: {view.stale}" if view.stale else ""
    reason = f": {view.job_state.reason}" if view.job_state.reason else ""
    superseded = ", superseded" if details.is_superseded else ", no longer in the study" if details.is_removed else ""
    print_text(f"{job.stage} {axes_text(job.axes)}", style="bold")
    print_text(f"id       {job.id}", f"study    {job.study}", f"state    {view.state}{reason}{stale}{superseded}")
    print_text(f"run      {job.run}")
    asked = job.resources
    gpus = f", {asked.gpus} GPU" if asked.gpus else ""
    print_text(f"asks for {asked.cpus} CPU{gpus}, {size_text(asked.memory_bytes)}, {duration_text(asked.time_s)}")
    if details.gpu_share is not None:
        print_text(f"         {details.gpu_share.to_text()}")
    if job.parents:
        print_text(f"parents  {', '.join(parent[:12] for parent in job.parents)}")


def _print_code(code: Mapping[str, Any] | None) -> None:
    if code is None:
        return
    print_text(f"code     {code['folder']}{'' if code['git'] is not None else ', which is gone'}")
    for one in code["git"] or ():
        changes = f" and changes{': ' + one['diff'] if one['diff'] else ''}" if one["changed"] else ""
        print_text(f"         {one['repository']}: commit {one['commit'][:SHORT_ID_LENGTH]}{changes}")


def _print_files(details: JobDetails) -> None:
    for role, path in details.checkpoints().items():
        print_text(f"weights  {role}: {path}")
    outputs = details.outputs()
    if outputs is not None:
        print_text(f"outputs  {outputs}")


def _print_attempt(attempt: Mapping[str, Any]) -> None:
    began, ended = attempt["started"], attempt["ended"]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(began)) if began else "never started"
    took = f", {duration_text(ended - began)}" if began and ended else ""
    kind = f" ({attempt['kind']})" if attempt["kind"] else ""
    why = f"{kind}: {attempt['reason']}" if attempt["reason"] else ""
    where = f" on {attempt['host']}" if attempt["host"] else ""
    print_text(f"attempt {attempt['attempt']}  {attempt['state']}{why}", f"  {when}{where}{took}")
    if attempt["log"]:
        print_text(f"  log {attempt['log']}")


def _print_curves(details: JobDetails) -> None:
    """Print the learning curves, also those of a job that runs."""
    from seedfold.orchestrator.cli.curve_lines import curve_lines
    from seedfold.orchestrator.state.job_curves import has_curves, read_curves

    if has_curves(details.view):
        lines = curve_lines(read_curves(details.view), min(output_width(), _CURVES_WIDTH))
        print_text(*(["curves", *lines] if lines else []))


def _print_result(result: Result, folder: str) -> None:
    print_text(f"result   {folder}")
    print_text(*(f"  {name}  {size_text(file['bytes'])}" for name, file in result.files.items()))
    fused = result.provenance.get("fused", {})
    if "note" in fused or "jobs" in fused:
        print_text(f"  {fused.get('note') or 'begun together with other jobs: ' + str(fused['jobs']) + ' in all'}")
    print_text(*(f"  from {source['file']}" for source in result.provenance.get("files", ())))
    if not result.metrics:
        return
    from seedfold.orchestrator.cli.grid import make_console, plain_table

    table = plain_table("metric", "split", "head", "value")
    for metric in result.metrics:
        value = "-" if metric["value"] is None else f"{metric['value']:.4f}"
        table.add_text_row(metric["metric"], metric["split"], metric["head"], value)
    make_console().print(table)
