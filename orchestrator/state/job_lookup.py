"""Finding the job that a person names: by the first characters of its id, or its place, ``[STAGE] seed=3 fold=1``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seedfold.jobs.conditions import Where
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import Plans
from seedfold.orchestrator.state.overview import name_of

LEAST_PREFIX = 4
_ID = re.compile(rf"[0-9a-f]{{{LEAST_PREFIX},64}}")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A job in the study that names it."""

    study: StudyFolder
    job: JobDescription


def find_job(root: Root, words: Sequence[str], study: str | None = None) -> Found:
    """Find the one job that ``words`` name, in one study or in all of the root.

    Raises UsageError where no job or more than one answers, with what would.
    """
    if not words:
        raise UsageError("JOB is missing: write the first characters of its id, or its place, e.g. train seed=3 fold=1")
    plans = [Plans(folder) for folder in ([root.existing(study)] if study else root.studies())]
    if not plans:
        raise UsageError(f"no study under {root.path}; name another folder with --root")
    if len(words) == 1 and "=" not in words[0]:
        found = _by_id(plans, words[0])
        if found or not _is_stage(plans, words[0]):
            return _only(found, words, f"no job's id begins so ({LEAST_PREFIX} characters or more); or name its place")
    return _only(_by_place(plans, words), words, "no job of that place")


def _by_id(plans: Iterable[Plans], prefix: str) -> list[Found]:
    if not _ID.fullmatch(prefix):
        return []
    return [Found(one.study, job) for one in plans for job in one.jobs.values() if job.id.startswith(prefix)]


def _is_stage(plans: Iterable[Plans], word: str) -> bool:
    return any(stage == word for one in plans for stage, _ in one.current)


def _by_place(plans: Sequence[Plans], words: Sequence[str]) -> list[Found]:
    stages = [word for word in words if not re.search(r"[=<>]", word)]
    where = Where.parse(" ".join(word for word in words if word not in stages))
    jobs = [Found(one.study, job) for one in plans for job in one.current.values()]
    known = {found.job.stage for found in jobs}
    for stage in stages:
        if stage not in known:
            listed = ", ".join(sorted(known))
            raise UsageError(f"{stage}: neither a job's id nor a stage{did_you_mean(stage, known)}; stages: {listed}")
    in_stage = [found for found in jobs if all(found.job.stage == stage for stage in stages)]
    where.check({axis for found in in_stage for axis in found.job.axes})
    return [found for found in in_stage if where.matches(found.job.axes)]


def _only(found: Sequence[Found], words: Sequence[str], none: str) -> Found:
    asked = " ".join(words)
    if not found:
        raise UsageError(f"{asked}: {none}")
    if len({one.job.id for one in found}) > 1:
        shown = "; ".join(f"{one.study.name} {name_of(one.job)}" for one in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        raise UsageError(f"{asked}: {len(found)} jobs answer to it: {shown}{more}; be more precise or name a --study")
    return found[0]
