"""Predictions made elsewhere, taken into a study as a job of their own that nobody ever runs.

The order of writes: the claim, the staging folder, the rename that publishes it, the plan that names the job. A kill
between any two leaves a study as it was, and the same import goes on from what is there. The job's id is of its axes
and of what it holds, whatever files that came in.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.identity import Identity, identify
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.code.digests import digest_file
from seedfold.orchestrator.ledger.claims import attempts_begun, claim
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.reader import Ledger, done_event
from seedfold.orchestrator.settings.failures import Policies
from seedfold.orchestrator.state.job_states import Standings
from seedfold.results.imports.run import NAME

if TYPE_CHECKING:
    from seedfold.results.imports.predictions import Source
    from seedfold.results.imports.rows import Rows

STAGE = "import"
CONTENT = "imported"
"""The key of the configuration under which an imported job has the digest of each split."""
_SETTINGS: Mapping[str, Any] = {"cluster": {"executor": "local"}, "failures": {}, "identity": {}, "paths": {}}
"""Of a study that has nothing but imports."""


@dataclass(frozen=True)
class Imported:
    """What an import did: its job, rows by split, and whether the study held all of it before."""

    job: JobDescription
    samples: Mapping[str, int]
    classes: int
    known: bool


def is_import(job: JobDescription) -> bool:
    """Whether a job is an import, which nobody can run."""
    return job.run == NAME


def import_predictions(
    root: Root, name: str, sources: Sequence[Source], axes: Mapping[str, Any], split_column: str | None, replaces: bool
) -> Imported:
    """Take predictions into a study, which need not exist; what it holds already is not written again.

    Raises UsageError, before anything is written, for what is wrong with the files, and for axes that hold other
    predictions unless it ``replaces`` them.
    """
    from seedfold.results.imports.predictions import content_digest, read_sources

    study = root.study(name)
    refuse_copy(study)
    splits = read_sources(sources, split_column)
    job = _describe(name, axes, {split: content_digest(rows) for split, rows in splits.items()})
    ledger = Ledger(study)
    _refuse_replacing(ledger, job, replaces)
    held = Standings(root, ledger, Policies.parse({})).of(job.id)
    if held.state == "running":
        raise UsageError(f"job {job.short_id}: the same predictions are being imported at this moment")
    root.mark()
    if held.state != "done":
        _publish(root, study, job, splits, sources)
        ledger.refresh()
        _refuse_replacing(ledger, job, replaces)
    current = job.address in ledger.plans.current
    known = current and ledger.plans.current[job.address].id == job.id
    if not known:
        write_plan(study, _header(ledger, sources), [job])
    samples = {split: len(rows.ids) for split, rows in splits.items()}
    classes = max(2, next(iter(splits.values())).logits.shape[1])
    return Imported(job, samples, classes, known and held.state == "done")


def _describe(study: str, axes: Mapping[str, Any], digests: Mapping[str, str]) -> JobDescription:
    config: dict[str, Any] = {}
    for key, value in axes.items():
        _put(config, key, value)
    config[CONTENT] = dict(sorted(digests.items()))
    found, fit = identify(NAME, config, (), Identity())
    return JobDescription(found, study, STAGE, dict(axes), config, (), Resources(), NAME, fit)


def _put(config: dict[str, Any], key: str, value: Any) -> None:
    *folders, last = key.split(".")
    inner = config
    for folder in folders:
        inner = inner.setdefault(folder, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {key}: {folder} is a value already")
    if last in inner or key == CONTENT:
        raise UsageError(f"--set {key}: is set already")
    inner[last] = value


def _refuse_replacing(ledger: Ledger, job: JobDescription, replaces: bool) -> None:
    old = ledger.plans.current.get(job.address)
    if old is not None and old.id != job.id and not replaces:
        axes = ", ".join(f"{key}={value}" for key, value in job.axes.items())
        raise UsageError(
            f"study {job.study} holds other predictions for {axes or 'no axes'} (job {old.short_id}); "
            "import with --replace, or with another --set KEY=VALUE"
        )


def _publish(
    root: Root, study: StudyFolder, job: JobDescription, splits: Mapping[str, Rows], sources: Sequence[Source]
) -> None:
    from seedfold.results.imports.predictions import write_rows
    from seedfold.results.store.published import publish

    number, started, events = attempts_begun(study, job.id) + 1, time.time(), EventWriter(study.events)
    refused = claim(root, study, job.id, number, STAGE)
    if refused:
        raise UsageError(f"job {job.short_id}: {refused}; import again")
    events.tell("started", job=job.id, n=number, process=ProcessIdentity.current().to_dict())
    staging, final = study.job(job.id) / f"staging.{number}", study.published(job.id, number)
    staging.mkdir(parents=True)
    write_rows(staging, job, splits)
    record = job.to_dict() | {"attempt": number, "parents": {}, "reads": {}, "code": "", "started": started}
    record |= {"provenance": _provenance(sources), "ended": time.time()}
    result = publish(staging, final, record)
    events.tell("done", **done_event(job.id, number, result))
    events.close()


def _provenance(sources: Sequence[Source]) -> dict[str, Any]:
    files = [
        {
            "file": str(source.file.absolute()),
            "split": source.split,
            "bytes": source.file.stat().st_size,
            "digest": digest_file(source.file),
        }
        for source in sources
    ]
    return {
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "submission": STAGE,
        "gpu": None,
        "python": sys.version.split()[0],
        "user": PlanHeader.now((), (), {}, Path.cwd()).user,
        "files": files,
    }


def _header(ledger: Ledger, sources: Sequence[Source]) -> PlanHeader:
    """Who imports; the settings and the folder of the study's jobs stay as they are."""
    names = [f"{source.split}={source.file}" if source.split else str(source.file) for source in sources]
    last = ledger.plans.header
    if last is None:
        return PlanHeader.now([STAGE, *names], (), _SETTINGS, Path.cwd())
    own = PlanHeader.now(last.overrides, (), last.settings, Path(last.folder))
    return replace(own, config_dirs=last.config_dirs)
