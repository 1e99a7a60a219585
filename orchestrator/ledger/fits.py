"""Claims on fits: jobs that share a fit share its folder, and only one of them at a time trains in it.

A job whose fit has an id of its own creates ``claims/ab/fit-FIT.JOB.N`` as well, and removes it when its attempt
ends. As with the claims of jobs, it claims first and looks then: of two that begin at the same moment at least one sees
the other and steps back. Once the fit is finished, any number of jobs predict from it at a time. Jobs of users may keep
no finished fit: when the first of them is published, ``claims/ab/nofit-FIT`` says that there is nothing to wait for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.claims import is_claim_live
from seedfold.orchestrator.ledger.copy_origin import is_copy
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.results.store.atomic_files import remove_temporary
from seedfold.results.store.passing_errors import exists, try_again

FINISHED_FILE = "fit.json"
"""The file in the folder of a finished fit."""


def find_fit_folder(root: Root, study: StudyFolder, fit: str) -> Path:
    """The folder of a fit: that of another study under the root if it has finished the fit, else this study's own."""
    own = study.job_folder(fit)
    finished = (folder.job_folder(fit) for folder in root.study_folders() if has_fit(folder.job_folder(fit)))
    return own if exists(own) else next(finished, own)


def has_fit(folder: Path) -> bool:
    """Whether training is finished in the folder of a fit."""
    return exists(folder / FINISHED_FILE)


def is_fit_at_work(study: StudyFolder, job: JobDescription) -> bool:
    """Whether another job of a study works on the same fit, and has not finished it."""
    if has_fit(study.job_folder(job.fit)) or exists(_no_fit_file(study, job)):
        return False
    return any(is_claim_live(claim) for claim in _claims_of_others(study, job))


def _no_fit_file(study: StudyFolder, job: JobDescription) -> Path:
    return study.claim_file(job.fit, 0).with_name(f"nofit-{job.fit}")


def _claims_of_others(study: StudyFolder, job: JobDescription) -> Iterator[Path]:
    """The claims on the fit of ``job``, without those of the job itself, because its own dead claims do not matter."""
    folder = study.claim_file(job.fit, 0).parent
    try:
        names = try_again(lambda: os.listdir(folder), folder)  # noqa: PTH208
    except FileNotFoundError:
        return
    prefixes = [f"fit-{job.fit}."] if job.id == job.fit else [f"fit-{job.fit}.", f"{job.fit}."]
    for name in names:
        if name.startswith(tuple(prefixes)) and not name.startswith(f"fit-{job.fit}.{job.id}."):
            yield folder / name


@dataclass(frozen=True, slots=True)
class FitClaim:
    """The claim of one attempt on the fit of its job; where both have one id, the claim of the attempt is enough."""

    root: Root
    study: StudyFolder
    job: JobDescription
    attempt: int

    @property
    def _file(self) -> Path:
        beside = self.study.claim_file(self.job.fit, 0).parent
        return beside / f"fit-{self.job.fit}.{self.job.id}.{self.attempt}"

    def take(self, attempt_claim: Path) -> str | None:
        """Claim the fit, as the process that holds ``attempt_claim``; return None if it is ours, else why it is not.

        Who steps back withdraws both claims.
        """
        if self.job.fit != self.job.id:
            create_once(self._file, try_again(attempt_claim.read_text, attempt_claim))
        if has_fit(find_fit_folder(self.root, self.study, self.job.fit)):
            return None
        for other in self.root.study_folders():
            if not is_copy(other) and is_fit_at_work(other, self.job):
                self.release()
                remove_temporary(attempt_claim)
                return f"another job trains fit {self.job.fit[:12]} in study {other.name}"
        return None

    def record_published(self) -> None:
        """Record that no job has to wait for this fit, if the published job has left no finished fit."""
        folder = find_fit_folder(self.root, self.study, self.job.fit)
        if self.job.fit != self.job.id and not has_fit(folder):
            create_once(_no_fit_file(self.study, self.job), "")

    def is_shared(self) -> bool:
        """Whether another job works with the same fit at this moment, in any study of the root."""
        claims = (claim for study in self.root.study_folders() for claim in _claims_of_others(study, self.job))
        return any(is_claim_live(claim) for claim in claims)

    def release(self) -> None:
        """Release the fit for other jobs."""
        if self.job.fit != self.job.id:
            remove_temporary(self._file)
