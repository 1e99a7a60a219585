"""Two jobs side by side: their configuration, the code and packages that computed them, and their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import SHORT_ID_LENGTH
from seedfold.jobs.errors import UsageError
from seedfold.jobs.job_differences import Difference, find_differences
from seedfold.orchestrator.code.code_records import CodeRecord, read_code_record
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_details import JobDetails
from seedfold.orchestrator.state.job_lookup import FoundJob
from seedfold.orchestrator.state.overview import Overview, job_label
from seedfold.orchestrator.views.comparison import ComparisonRequest
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import Result

if TYPE_CHECKING:
    from seedfold.results.comparison.two_runs import CurveDifference

Versions = dict[str, tuple[str | None, str | None]]


@dataclass(frozen=True)
class JobDifferences:
    """What differs between two finished jobs; the first one is the left one.

    ``code`` names the files that differ, None if the code of one was not recorded. ``rows`` are its metrics.
    """

    names: tuple[str, str]
    configuration: list[Difference]
    code: list[str] | None
    packages: Versions
    hosts: tuple[str, str]
    rows: list[dict[str, Any]]
    curves: list[CurveDifference]


def compare_jobs(root: Root, left: FoundJob, right: FoundJob, request: ComparisonRequest) -> JobDifferences:
    """Compare two jobs. Raises UsageError for one job named twice, and for a job that is not done."""
    from seedfold.results.comparison.two_runs import curve_differences, metric_rows, packages_of

    if left.job.id == right.job.id:
        raise UsageError(f"{left.job.id[:SHORT_ID_LENGTH]}: both names mean the same job; name another job")
    details = [JobDetails(root, found) for found in (left, right)]
    results = [_result(each) for each in details]
    first, second = (_run(each, result) for each, result in zip(details, results, strict=True))
    identity = Overview(root, left.study.name).settings["identity"]
    records = [read_code_record(each.holding_study, result.code) for each, result in zip(details, results, strict=True)]
    packages = [
        packages_of(run, result) | (dict(record.packages) if record else {})
        for run, result, record in zip((first, second), results, records, strict=True)
    ]
    return JobDifferences(
        names=(_name(left), _name(right)),
        configuration=find_differences(left.job, right.job, identity),
        code=_differing_files(*records),
        packages={key: value for key, value in _versions(*packages).items() if value[0] != value[1]},
        hosts=(_host(results[0]), _host(results[1])),
        rows=metric_rows(first, second, request.splits, request.metrics),
        curves=curve_differences(first, second),
    )


def _name(found: FoundJob) -> str:
    return f"{found.study.name}  {job_label(found.job)}"


def _result(details: JobDetails) -> Result:
    result = details.latest_result()
    if result is None:
        raise UsageError(
            f"{job_label(details.job)}: is {details.view.state} and has no result yet; see seedfold explain"
        )
    return result


def _run(details: JobDetails, result: Result) -> FinishedJob:
    folder = details.holding_study.result_folder(result.id, result.attempt)
    return FinishedJob(result.id, details.job.study, details.job.stage, details.job.axes, result.attempt, folder)


def _differing_files(left: CodeRecord | None, right: CodeRecord | None) -> list[str] | None:
    """The names of files, and of functions of Seedfold, that differ; None where one was not recorded."""
    if left is None or right is None:
        return None
    names = dict.fromkeys([*left.files, *right.files])
    files = [name for name in names if _digest_of(left, name) != _digest_of(right, name)]
    stages = dict.fromkeys([*left.stages, *right.stages])
    return files + [name for name in stages if left.stages.get(name) != right.stages.get(name)]


def _digest_of(record: CodeRecord, name: str) -> str | None:
    """The digest of a file's syntax, where it was recorded, else of its content."""
    content = record.files.get(name)
    return None if content is None else record.syntax.get(content, content)


def _versions(left: Mapping[str, str], right: Mapping[str, str]) -> Versions:
    return {name: (left.get(name), right.get(name)) for name in dict.fromkeys([*left, *right])}


def _host(result: Result) -> str:
    return str(result.provenance.get("host", ""))
