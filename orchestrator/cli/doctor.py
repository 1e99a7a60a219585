"""``seedfold doctor [STUDY]``: each line says what was looked at, and what to do where it is not well."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import Style, print_json, say
from seedfold.orchestrator.doctor import (
    Finding,
    Level,
    StoredResult,
    examine_machine,
    examine_store,
    examine_study,
    stored_results,
)
from seedfold.orchestrator.layout import Root

_STYLES: dict[Level, Style] = {"ok": "", "warning": "yellow", "problem": "red"}


@click.command()
@click.argument("study", required=False)
@options.as_json
@options.common
@click.pass_context
def command(context: click.Context, study: str | None, as_json: bool, root: Root) -> None:
    """Say what this machine offers and what is wrong with it; with STUDY, read through its store as well."""
    findings: list[Finding] = []
    # A misspelt study is told before the machine is looked at.
    folder = root.existing(study) if study else None
    for finding in examine_machine(root):
        findings.append(finding)
        if not as_json:
            _print(finding)
    for one in [folder] if folder else root.studies():
        checks = [*examine_study(root, one)]
        if folder:
            checks += examine_store(one, _with_progress(stored_results(root, one), not as_json))
        findings += checks
        if not as_json:
            for finding in checks:
                _print(finding)
    if as_json:
        print_json([finding.to_dict() for finding in findings])
    context.exit(1 if any(finding.level == "problem" for finding in findings) else 0)


def _print(finding: Finding) -> None:
    remedy = f": {finding.remedy}" if finding.remedy else ""
    say(f"{finding.level:<8} {finding.topic}: {finding.text}{remedy}", style=_STYLES[finding.level])
    sys.stdout.flush()


def _with_progress(results: Sequence[StoredResult], shown: bool) -> Iterable[StoredResult]:
    if not (shown and sys.stderr.isatty()):
        return results
    return _tracked(results)


def _tracked(results: Sequence[StoredResult]) -> Iterator[StoredResult]:
    from rich.console import Console
    from rich.progress import track

    yield from track(results, "reading the store", console=Console(stderr=True), transient=True)
