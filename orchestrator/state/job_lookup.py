"""Finds the job that a person names by the first characters of its id, or by its address, ``[STAGE] seed=3``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seedfold.jobs.conditions import Where
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import Plans
from seedfold.orchestrator.state.overview import job_label

MIN_PREFIX_LENGTH = 4
_ID_PREFIX = re.compile(rf"[0-9a-f]{{{MIN_PREFIX_LENGTH},64}}")
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job, and the study in which it was found."""

    study: StudyFolder
    job: JobDescription


def find_job(root: Root, words: Sequence[str], study_name: str | None = None) -> FoundJob:
    """Find the one job that ``words`` name, in one study or in all studies of the root.

    Raises UsageError if no job or more than one job fits; its notes list the first jobs that fit.
    """
    if not words:
        raise UsageError(
            "JOB is missing: write the first characters of its id, or its address, e.g. train seed=3 fold=1"
        )
    plans = [Plans(root.existing_study(study_name))] if study_name else _readable_plans(root)
    if not plans:
        raise UsageError(f"no study under {root.path}; name another root with --root")
    if len(words) == 1 and "=" not in words[0]:
        found = _find_by_id(plans, words[0])
        if found or not _is_stage(plans, words[0]):
            return _require_single(
                found,
                words,
                f"no job's id begins so; write {MIN_PREFIX_LENGTH} or more characters"
                " of an id, or an address such as seed=3 fold=1",
            )
    return _require_single(_find_by_address(plans, words), words, "no job has that address")


def _readable_plans(root: Root) -> list[Plans]:
    """The plans of all studies that can be read; raises the error of the first of the others if none can."""
    plans, errors = [], []
    for folder in root.study_folders():
        try:
            plans.append(Plans(folder))
        except (DamagedFileError, OSError) as error:
            errors.append(error)
    if errors and not plans:
        raise errors[0]
    return plans


def _find_by_id(plans: Iterable[Plans], prefix: str) -> list[FoundJob]:
    if not _ID_PREFIX.fullmatch(prefix):
        return []
    return [
        FoundJob(study_plans.study, job)
        for study_plans in plans
        for job in study_plans.jobs.values()
        if job.id.startswith(prefix)
    ]


def _is_stage(plans: Iterable[Plans], word: str) -> bool:
    return any(stage == word for study_plans in plans for stage, _ in study_plans.held_jobs())


def _find_by_address(plans: Sequence[Plans], words: Sequence[str]) -> list[FoundJob]:
    stages = [word for word in words if not re.search(r"[=<>]", word)]
    where = Where.parse(" ".join(word for word in words if word not in stages))
    jobs = [FoundJob(study_plans.study, job) for study_plans in plans for job in study_plans.held_jobs().values()]
    known = {found.job.stage for found in jobs}
    for stage in stages:
        if stage not in known:
            listed = ", ".join(sorted(known))
            raise UsageError(
                f"{stage}: neither the id of a job nor a stage{did_you_mean(stage, known)}; stages: {listed}"
            )
    in_stage = [found for found in jobs if all(found.job.stage == stage for stage in stages)]
    where.check_for_jobs(found.job for found in in_stage)
    return [found for found in in_stage if where.matches_job(found.job)]


def _require_single(matches: Sequence[FoundJob], words: Sequence[str], if_none: str) -> FoundJob:
    request_text = " ".join(words)
    if not matches:
        raise UsageError(f"{request_text}: {if_none}")
    if len({match.job.id for match in matches}) > 1:
        error = UsageError(
            f"{request_text}: {len(matches)} jobs fit; write more of the id or address, or name a --study"
        )
        for match in matches[:_MAX_LISTED]:
            error.add_note(f"  {match.study.name} {job_label(match.job)}")
        if len(matches) > _MAX_LISTED:
            error.add_note(f"  … and {len(matches) - _MAX_LISTED} more")
        raise error
    return matches[0]
