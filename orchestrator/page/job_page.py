"""One job: its configuration, attempts, files and log, how it differs from others, and the commands that repeat it."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.job_differences import ABSENT, find_differences
from seedfold.jobs.terminal_text import terminal_log
from seedfold.orchestrator.page.commands import job_commands
from seedfold.orchestrator.page.curves import make_job_curves, make_labels
from seedfold.orchestrator.page.kept_studies import KeptStudies, KeptStudy
from seedfold.orchestrator.state.job_details import JobDetails
from seedfold.orchestrator.state.job_lookup import FoundJob
from seedfold.orchestrator.state.overview import JobView

MOST_LOG_BYTES = 1 << 16
MOST_COMPARED = 12
_MOST_METRICS = 8
_LONGEST_CHARACTER = 4


def make_job(study: KeptStudy, view: JobView) -> dict[str, Any]:
    """Return what `seedfold show` prints of a job, and the commands that repeat it."""
    with study.lock:
        details = JobDetails(study.root, FoundJob(study.overview.folder, view.job), study.overview)
    state = view.job_state
    return {
        "id": view.job.id,
        "study": study.name,
        "stage": view.job.stage,
        "state": view.state,
        "reason": state.reason or None,
        "stale": view.stale,
        "axes": dict(view.job.axes),
        "run": view.job.run,
        "resources": view.job.resources.to_dict(),
        "parents": list(view.job.parents),
        "configuration": details.config_text(),
        "attempts": list(details.attempts()),
        "code": details.snapshot_info(),
        "files": list(_files(details)),
        "metrics": dict(study.results.values_of(view)),
        "repeat": job_commands(study, view, has_weights=bool(details.checkpoints())),
    }


def _files(details: JobDetails) -> Iterator[dict[str, Any]]:
    """The files of a job with their sizes: its result, its weights, what it left for people, its logs."""
    result = details.latest_result()
    if result is not None:
        folder = details.holding_study.result_folder(result.id, result.attempt)
        yield from ({"path": str(folder / name), "bytes": file["bytes"]} for name, file in result.files.items())
    outputs = details.outputs()
    logs = [Path(attempt["log"]) for attempt in details.attempts() if attempt["log"]]
    for path in [*details.checkpoints().values(), *(sorted(outputs.rglob("*")) if outputs else ()), *logs]:
        size = _size_of(path)
        if size is not None:
            yield {"path": str(path), "bytes": size}


def _size_of(path: Path) -> int | None:
    """The bytes of a file; None if it is none, or if a running job has replaced it meanwhile."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def make_difference(left: tuple[KeptStudy, JobView], right: tuple[KeptStudy, JobView]) -> dict[str, Any]:
    """Return the keys in which two jobs differ, as `seedfold explain` does."""
    found = find_differences(left[1].job, right[1].job, _identity(left[0]))
    return {"rows": [{"key": one.key, "this": one.left, "other": one.right, "counts": one.counts} for one in found]}


def _identity(study: KeptStudy) -> Mapping[str, Any] | None:
    with study.lock:
        identity: Mapping[str, Any] | None = study.overview.settings.get("identity")
        return identity


def compare(studies: KeptStudies, names: Sequence[str]) -> dict[str, Any]:
    """Return the configuration keys in which jobs differ, and their metrics, side by side.

    ``names`` are ``STUDY/ID``. Raises UsageError for fewer than two jobs, or for very many.
    """
    if not 2 <= len(names) <= MOST_COMPARED:
        raise UsageError(f"jobs: name 2 to {MOST_COMPARED} jobs as STUDY/ID, with commas between them")
    found = [find_named(studies, name) for name in names]
    return {
        "jobs": [
            {
                "study": study.name,
                "id": view.job.id,
                "stage": view.job.stage,
                "label": make_labels(study.snapshot(), [view])[0],
                "state": view.state,
            }
            for study, view in found
        ],
        "configuration": _differing_keys(found),
        "metrics": _metrics_side_by_side(found),
        "curves": _curves_side_by_side(found),
    }


def find_named(studies: KeptStudies, name: str, default: str | None = None) -> tuple[KeptStudy, JobView]:
    """Return the job of ``STUDY/ID``, or of an id in the ``default`` study."""
    study_name, slash, job = name.rpartition("/")
    if not slash and default is None:
        raise UsageError(f"jobs: {name[:80]!r} is not of the form STUDY/ID")
    study = studies.get(study_name if slash else default or "")
    return study, study.find_job(job)


def _differing_keys(found: Sequence[tuple[KeptStudy, JobView]]) -> list[dict[str, Any]]:
    (study, first), others = found[0], found[1:]
    identity = _identity(study)
    differences = [{one.key: one for one in find_differences(first.job, view.job, identity)} for _, view in others]
    keys = {key: one for each in differences for key, one in each.items()}
    return [
        {
            "key": key,
            "values": [
                None if value == ABSENT else value
                for value in (one.left, *(each[key].right if key in each else one.left for each in differences))
            ],
            "counts": any(each[key].counts for each in differences if key in each),
        }
        for key, one in keys.items()
    ]


def _metrics_side_by_side(found: Sequence[tuple[KeptStudy, JobView]]) -> list[dict[str, Any]]:
    values = [study.results.values_of(view) for study, view in found]
    names = dict.fromkeys(name for each in values for name in each)
    return [{"key": name, "values": [each.get(name) for each in values]} for name in names]


def _curves_side_by_side(found: Sequence[tuple[KeptStudy, JobView]]) -> list[dict[str, Any]]:
    """The learning curves of each metric; the metric that the configuration watches is the first."""
    answers = [make_job_curves(study, view) for study, view in found]
    names = dict.fromkeys([answers[0]["metric"], *(name for each in answers for name in each["metrics"])])
    labels = [make_labels(study.snapshot(), [view])[0] for study, view in found]
    return [
        {
            "metric": name,
            "curves": [
                curve | {"label": label}
                for each, label in zip(answers, labels, strict=True)
                for curve in each["curves"]
                if curve["metric"] == name
            ],
        }
        for name in list(names)[:_MOST_METRICS]
        if name is not None
    ]


def read_log(study: KeptStudy, view: JobView, offset: int, attempt: int | None) -> dict[str, Any]:
    """Return a part of a log, from a byte on; a negative offset counts from the end.

    ``next`` is the offset of what follows. The text has no control characters.
    """
    state = view.job_state
    with study.lock:
        record = JobDetails(study.root, FoundJob(study.overview.folder, view.job), study.overview).record
    attempts = sorted(set(record.last_events) | ({state.attempt} if state.attempt else set()))
    number = attempt or state.attempt
    file = state.holding_study.log_file(view.job.id, number)
    about = {"attempt": number, "attempts": attempts, "running": view.state == "running"}
    if not file.is_file():
        return {"text": "", "offset": 0, "next": 0, "size": 0, **about}
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        start = max(0, size + offset) if offset < 0 else min(offset, size)
        opened.seek(start)
        content = opened.read(MOST_LOG_BYTES)
    if start + len(content) < size:
        content = _whole_part(content)
    text = "".join(terminal_log([content]))
    return {"text": text, "offset": start, "next": start + len(content), "size": size, **about}


def _whole_part(content: bytes) -> bytes:
    """Return a part of a longer log up to its last line break; up to its last whole character if it has none."""
    end = content.rfind(b"\n") + 1
    if end:
        return content[:end]
    for cut in range(1, _LONGEST_CHARACTER + 1):
        if content[-cut] & 0xC0 != 0x80:
            return content if content[-cut] < 0x80 else content[:-cut]
    return content
