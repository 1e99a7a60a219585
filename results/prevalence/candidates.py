"""Which jobs of a study can be analysed: those that predict the three splits, or have a deployment without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.jobs.work import DataFailure
from seedfold.results.prevalence.settings import REQUIRED_SPLITS
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.predictions import count_unknown_targets, file_name, find_predictions
from seedfold.results.store.published import FileRecord, load_result

ESTIMATES = "quantification"
"""The only table that needs no labels in the deployment."""
TESTED, DEPLOYED = REQUIRED_SPLITS[1:]


@dataclass(frozen=True)
class Candidate:
    """A job that can be analysed: the files of the splits that its result has, by the names of `REQUIRED_SPLITS`."""

    run: FinishedJob
    files: Mapping[str, FileRecord]
    is_labelled: bool = True


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
