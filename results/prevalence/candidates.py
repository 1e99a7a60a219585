"""Which jobs of a study can be analysed: those that predict the three splits, or have a deployment without labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.jobs.work import DataFailure
from seedfold.results.prevalence.settings import REQUIRED_SPLITS
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.predictions import count_unknown_targets, file_name, find_predictions
from seedfold.results.store.published import FileRecord, load_result
from seedfold.results.store.values import VALUES_FILE

ESTIMATES = "quantification"
"""The only table that needs no labels in the deployment."""
TESTED, DEPLOYED = REQUIRED_SPLITS[1:]
RATIO_AXIS = "imbalance_ratio"
_DEPLOYED_ESTIMATE = "ACC"
"""The method whose estimate calibration and costs use."""
_Place = tuple[str, float]


@dataclass(frozen=True)
class Candidate:
    """A job that can be analysed: the files of the splits that its result has, by the names of `REQUIRED_SPLITS`.

    ``estimate`` has the prevalences (k,) that another job has estimated for the deployment; None: to be estimated from
    the job's own predictions.
    """

    run: FinishedJob
    files: Mapping[str, FileRecord]
    is_labelled: bool = True
    estimate: tuple[float, ...] | None = None


def find_candidates(runs: Sequence[FinishedJob], names: Sequence[str]) -> list[Candidate]:
    """Return the runs that predict the splits ``names``, and those whose deployment has no labels.

    Raises UsageError, with the job, for predictions that cannot be read.
    """
    found = []
    for run in runs:
        paths = {split: run.folder / file_name(own) for split, own in zip(REQUIRED_SPLITS, names, strict=True)}
        if not paths[DEPLOYED].exists():
            continue
        known = load_result(run.folder).files
        files = {split: known[path.name] for split, path in paths.items() if path.name in known}
        if DEPLOYED in files and not _is_labelled(run, paths[DEPLOYED]):
            found.append(Candidate(run, files, is_labelled=False))
        elif len(files) == len(REQUIRED_SPLITS):
            found.append(Candidate(run, files))
    return found


def with_estimates(candidates: Sequence[Candidate], runs: Sequence[FinishedJob]) -> list[Candidate]:
    """Give candidates that were trained for a ratio what a job of ``runs`` has estimated for their task and ratio."""
    estimates = dict(_iterate_estimates(runs))
    return [replace(each, estimate=estimates.get(_place(each.run))) for each in candidates]


def _iterate_estimates(runs: Sequence[FinishedJob]) -> Iterator[tuple[_Place | None, tuple[float, ...]]]:
    for run in runs:
        file = run.folder / VALUES_FILE
        values = json.loads(file.read_text(encoding="utf-8")) if _place(run) and file.exists() else {}
        if _DEPLOYED_ESTIMATE in values.get("estimates", {}):
            yield _place(run), tuple(values["estimates"][_DEPLOYED_ESTIMATE])


def _place(run: FinishedJob) -> _Place | None:
    """Return task and ratio of a job that is meant for one ratio; None for others."""
    ratio = run.axes.get(RATIO_AXIS)
    return None if ratio is None else (str(run.axes.get("task")), float(ratio))


def _is_labelled(run: FinishedJob, file: Path) -> bool:
    try:
        return count_unknown_targets(file) == 0
    except DataFailure as error:
        raise UsageError(f"job {run.short_id}: {error}") from error


def nothing_usable(name: str, runs: Sequence[FinishedJob], found: Sequence[Candidate], splits: Sequence[str]) -> str:
    """Say why there is nothing to analyse: labels or splits are missing; perhaps the splits only have other names."""
    if found:
        return f"{name}: {splits[-1]} has no labels, and {name} needs them; without labels there is {ESTIMATES}"
    there = sorted({split for run in runs for split in find_predictions(run.folder)})
    others = f"; there are {', '.join(there)}: name them with --split {REQUIRED_SPLITS[0]}=NAME" if there else ""
    return f"{name}: no finished job predicts the splits {', '.join(splits)}{others}"
