"""``seedfold doctor [STUDY]``: each line says what was examined and, if something is wrong, what to do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import click

from seedfold.jobs.errors import UnreachableError, UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import Style, print_json, print_text
from seedfold.orchestrator.dispatch.doctor import (
    StoredResult,
    examine_machine,
    examine_store,
    examine_study,
    find_stored_results,
)
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.schedulers.findings import Finding, Level
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.site import site_overrides

_PROBE_S = 300.0
_COMMANDS = {"slurm": "sbatch", "lsf": "bsub"}
_SCHEDULERS = {"slurm": ("SLURM", "squeue"), "lsf": ("LSF", "bjobs")}
_STYLES: dict[Level, Style] = {"ok": "", "warning": "yellow", "problem": "red"}


@click.command()
@click.argument("study", required=False)
@click.option("--probe", is_flag=True, help="Submit a job of one minute that reports what a node of the cluster sees.")
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override of cluster or resources for --probe; repeatable.",
)
@options.as_json
@options.common
@click.pass_context
def command(
    context: click.Context, study: str | None, probe: bool, overrides: Sequence[str], as_json: bool, root: Root
) -> None:
    """Check this machine, its cluster and the root, and print what they offer and what is wrong. With STUDY, also read
    all results of the study and check that they are intact."""
    findings: list[Finding] = []
    # A misspelt study is reported before the machine is examined.
    folder = root.existing_study(study) if study else None
    for finding in chain(examine_machine(root), _examine_cluster(root, overrides, probe)):
        findings.append(finding)
        if not as_json:
            _print_finding(finding)
    for one in [folder] if folder else root.study_folders():
        checks = list(_examine_readable_study(root, one))
        if folder:
            checks += examine_store(one, _with_progress(find_stored_results(root, one), not as_json))
        findings += checks
        if not as_json:
            for finding in checks:
                _print_finding(finding)
    if as_json:
        print_json([finding.to_dict() for finding in findings])
    context.exit(1 if any(finding.level == "problem" for finding in findings) else 0)


def _examine_readable_study(root: Root, study: StudyFolder) -> Iterator[Finding]:
    try:
        yield from examine_study(root, study)
    except (DamagedFileError, OSError) as error:
        text, _, remedy = str(error).partition("; ")
        yield Finding("problem", study.name, text, remedy or "check the permissions of the file")


def _examine_cluster(root: Root, overrides: Sequence[str], probe: bool) -> Iterator[Finding]:
    """Examine the cluster to which this machine submits, if there is one."""
    schedulers = [name for name, command in _COMMANDS.items() if shutil.which(command)]
    if not probe and not schedulers:
        return
    from seedfold.orchestrator.dispatch.node_probe import examine_node
    from seedfold.orchestrator.schedulers.registry import get_backend

    cluster, resources = _read_cluster(schedulers[0] if schedulers else "slurm", overrides)
    backend = get_backend(cluster)
    if backend is None:
        if probe:
            raise UsageError("--probe: the cluster is this machine; add --set cluster=slurm or --set cluster=lsf")
        return
    try:
        yield from backend.findings()
        if probe:
            yield from examine_node(root.path.absolute(), backend, resources, _PROBE_S)
    except UnreachableError as error:
        name, question = _SCHEDULERS[cluster.executor]
        yield Finding("problem", name, str(error), f"check whether {question} replies")


def _read_cluster(name: str, overrides: Sequence[str]) -> tuple[ClusterSettings, Resources]:
    """The cluster, ``name`` unless the overrides name another, and the resources of a job on it."""
    from omegaconf import OmegaConf

    from seedfold.jobs.compose import Composer

    all_overrides = [f"cluster={name}", *site_overrides([f"cluster={name}"]), *overrides]
    config: Any = OmegaConf.to_container(Composer().compose(all_overrides, partial=True))
    return ClusterSettings.parse(config["cluster"]), Resources.parse(config["resources"])


def _print_finding(finding: Finding) -> None:
    remedy = f": {finding.remedy}" if finding.remedy else ""
    print_text(f"{finding.level:<8} {finding.topic}: {finding.text}{remedy}", style=_STYLES[finding.level])
    sys.stdout.flush()


def _with_progress(results: Sequence[StoredResult], show_bar: bool) -> Iterable[StoredResult]:
    if not (show_bar and sys.stderr.isatty()):
        return results
    return _with_progress_bar(results)


def _with_progress_bar(results: Sequence[StoredResult]) -> Iterator[StoredResult]:
    from rich.console import Console
    from rich.progress import track

    yield from track(results, "reading the results", console=Console(stderr=True), transient=True)
