"""Predictions made elsewhere, imported into a study as a job of their own that is never run.

The order of writes is: the claim, the staging folder, the rename that publishes the result, the plan that adds the job.
After a kill between any two of them the study is as before, and the same import completes the rest. The job's id
depends on its axes and on the predictions, and not on the files that they came in.
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
from seedfold.jobs.identity import Identity, compute_ids
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.code.digests import digest_file
from seedfold.orchestrator.ledger.claims import claim_attempt, latest_attempt_number
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger, done_event_details
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.imported_code import record_imported_code
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.results.imports.run import IMPORT_RUN

if TYPE_CHECKING:
    from seedfold.results.imports.predictions import PredictionFile
    from seedfold.results.imports.rows import PredictionRows, ReadOptions

IMPORT_STAGE = "import"
CONTENT_KEY = "imported"
"""The key of the configuration of an imported job that holds the digest of each split."""
_DEFAULT_SETTINGS: Mapping[str, Any] = {"cluster": {"executor": "local"}, "failures": {}, "identity": {}, "paths": {}}
"""The settings of a study that has only imported jobs."""


@dataclass(frozen=True)
class ImportResult:
    """What an import did: its job, the number of rows by split, and whether the study had all of them before.

    ``unlabelled`` are the splits without classes.
    """

    job: JobDescription
    samples_by_split: Mapping[str, int]
    class_count: int
    was_known: bool
    unlabelled: tuple[str, ...] = ()


def is_import(job: JobDescription) -> bool:
    """Whether a job was imported and therefore cannot be run."""
    return job.run == IMPORT_RUN


def import_predictions(
    root: Root,
    study_name: str,
    sources: Sequence[PredictionFile],
    axes: Mapping[str, Any],
    options: ReadOptions,
    allow_replacing: bool,
    code_files: Sequence[Path] = (),
) -> ImportResult:
    """Import predictions into a study, which need not exist; what the study has already is not written again.

    ``code_files`` are what made them: results say when one of these has changed.

    Raises UsageError, before anything is written, for bad files, and without ``allow_replacing`` for axes that have
    other predictions already.
    """
    from seedfold.results.imports.predictions import content_digest, read_prediction_files
    from seedfold.results.imports.rows import UNKNOWN

    study = root.study_folder(study_name)
    refuse_copy(study)
    splits = read_prediction_files(sources, options)
    job = _describe_job(study_name, axes, {split: content_digest(rows) for split, rows in splits.items()})
    ledger = Ledger(study)
    _refuse_replacing(ledger, job, allow_replacing)
    job_state = JobStates(root, ledger, RetryPolicies.parse({})).of(job.id)
    if job_state.state == "running":
        raise UsageError(f"job {job.short_id}: another process is importing the same predictions now")
    root.mark_as_root()
    if job_state.state != "done":
        folder = Path(ledger.plans.header.folder) if ledger.plans.header else Path.cwd()
        code = record_imported_code(study, code_files, folder)
        _publish_job(root, study, job, splits, sources, code, done_before=job_state.attempt)
        ledger.refresh()
        _refuse_replacing(ledger, job, allow_replacing)
    current = job.address in ledger.plans.current_jobs
    was_known = current and ledger.plans.current_jobs[job.address].id == job.id
    if not was_known:
        write_plan(study, _make_plan_header(ledger, sources), [job])
    samples = {split: len(rows.ids) for split, rows in splits.items()}
    classes = max(2, next(iter(splits.values())).logits.shape[1])
    unlabelled = tuple(split for split, rows in splits.items() if (rows.targets == UNKNOWN).any())
    return ImportResult(job, samples, classes, was_known and job_state.state == "done", unlabelled)


def _describe_job(study_name: str, axes: Mapping[str, Any], digests: Mapping[str, str]) -> JobDescription:
    config: dict[str, Any] = {}
    for key, value in axes.items():
        _set_key(config, key, value)
    config[CONTENT_KEY] = dict(sorted(digests.items()))
    job_id, fit = compute_ids(IMPORT_RUN, config, (), Identity())
    return JobDescription(job_id, study_name, IMPORT_STAGE, dict(axes), config, (), Resources(), IMPORT_RUN, fit)


def _set_key(config: dict[str, Any], key: str, value: Any) -> None:
    *folders, last = key.split(".")
    inner = config
    for folder in folders:
        inner = inner.setdefault(folder, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {key}: {folder} has a value already")
    if last in inner or key == CONTENT_KEY:
        raise UsageError(f"--set {key}: is set already")
    inner[last] = value


def _refuse_replacing(ledger: Ledger, job: JobDescription, allow_replacing: bool) -> None:
    old = ledger.plans.held_jobs().get(job.address)
    if old is not None and old.id != job.id and not allow_replacing:
        axes = ", ".join(f"{key}={value}" for key, value in job.axes.items())
        raise UsageError(
            f"study {job.study} already has other predictions for {axes or 'no axes'} (job"
            f" {old.short_id}); run the import with --replace, or with another --set KEY=VALUE"
        )


def _publish_job(
    root: Root,
    study: StudyFolder,
    job: JobDescription,
    splits: Mapping[str, PredictionRows],
    sources: Sequence[PredictionFile],
    code: str,
    done_before: int,
) -> None:
    from seedfold.results.imports.predictions import write_rows
    from seedfold.results.store.published import publish

    attempt, started, events = latest_attempt_number(study, job.id) + 1, time.time(), EventWriter(study.events_folder)
    refusal = claim_attempt(root, study, job.id, attempt, IMPORT_STAGE, done_before=done_before)
    if refusal:
        raise UsageError(f"job {job.short_id}: {refusal}; run the import again")
    events.append("started", job=job.id, n=attempt, process=ProcessIdentity.current().to_dict())
    staging, final = study.job_folder(job.id) / f"staging.{attempt}", study.result_folder(job.id, attempt)
    staging.mkdir(parents=True)
    write_rows(staging, job, splits)
    record = job.to_dict() | {"attempt": attempt, "parents": {}, "reads": {}, "code": code, "started": started}
    record |= {"provenance": _make_provenance(sources), "ended": time.time()}
    result = publish(staging, final, record)
    events.append("done", **done_event_details(job.id, attempt, result, final))
    events.close()


def _make_provenance(sources: Sequence[PredictionFile]) -> dict[str, Any]:
    files = [
        {
            "file": str(source.path.absolute()),
            "split": source.split,
            "bytes": source.path.stat().st_size,
            "digest": digest_file(source.path),
        }
        for source in sources
    ]
    return {
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "submission": IMPORT_STAGE,
        "gpu": None,
        "python": sys.version.split()[0],
        "user": PlanHeader.create((), (), {}, Path.cwd()).user,
        "files": files,
    }


def _make_plan_header(ledger: Ledger, sources: Sequence[PredictionFile]) -> PlanHeader:
    """The header of the plan of an import; it keeps the settings and the folder of the study's last plan."""
    names = [f"{source.split}={source.path}" if source.split else str(source.path) for source in sources]
    last_header = ledger.plans.header
    if last_header is None:
        return PlanHeader.create([IMPORT_STAGE, *names], (), _DEFAULT_SETTINGS, Path.cwd())
    new_header = PlanHeader.create(last_header.overrides, (), last_header.settings, Path(last_header.folder))
    return replace(new_header, config_dirs=last_header.config_dirs)
