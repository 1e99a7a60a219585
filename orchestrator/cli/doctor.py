"""``seedfold doctor [STUDY]``: each line says what was looked at, and what to do where it is not well."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import click

from seedfold.jobs.errors import UnreachableError, UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.batch import Batch
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import Style, print_json, say
from seedfold.orchestrator.cluster import Cluster
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
from seedfold.orchestrator.site import site_overrides

_PATIENCE_S, _PROBE_S = 30.0, 300.0
_STYLES: dict[Level, Style] = {"ok": "", "warning": "yellow", "problem": "red"}


@click.command()
@click.argument("study", required=False)
@click.option("--probe", is_flag=True, help="Have a node of the cluster say what it sees, in a job of a minute.")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Of cluster and resources, for --probe.")
@options.as_json
@options.common
@click.pass_context
def command(
    context: click.Context, study: str | None, probe: bool, overrides: Sequence[str], as_json: bool, root: Root
) -> None:
    """Say what this machine and its cluster offer and what is wrong; with STUDY, read through its store as well."""
    findings: list[Finding] = []
    # A misspelt study is told before the machine is looked at.
    folder = root.existing(study) if study else None
    for finding in chain(examine_machine(root), _cluster(root, overrides, probe)):
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


def _cluster(root: Root, overrides: Sequence[str], probe: bool) -> Iterator[Finding]:
    """Look at the cluster that this machine submits to, if there is one."""
    if not probe and shutil.which("sbatch") is None:
        return
    from seedfold.orchestrator.slurm.probe import examine_cluster, examine_node

    try:
        yield from examine_cluster(_PATIENCE_S)
        if probe:
            batch, resources = _probed(overrides)
            yield from examine_node(root.path.absolute(), batch, resources, _PROBE_S)
    except UnreachableError as error:
        yield Finding("problem", "SLURM", str(error), "see whether squeue answers")


def _probed(overrides: Sequence[str]) -> tuple[Batch, Resources]:
    from omegaconf import OmegaConf

    from seedfold.jobs.compose import Composer

    config: Any = OmegaConf.to_container(
        Composer().compose(["cluster=slurm", *site_overrides(["cluster=slurm"]), *overrides], partial=True)
    )
    cluster = Cluster.parse(config["cluster"])
    if cluster.batch is None:
        raise UsageError("--probe: cluster is this machine; add --set cluster=slurm")
    resources = Resources.parse(config["resources"])
    return cluster.batch.for_resources(resources), resources


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
