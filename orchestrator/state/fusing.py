"""Which jobs of a study may be trained together: what those who pack tasks and the worker of a task both go by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.fusing import Fuse, fuse_settings, refusal_of
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.settings.failures import KILLED

_MAY_BE_DUE_TO_OTHERS = frozenset({"error", "oom_host", "timeout"})
"""The kinds of failure that others may have caused which trained together with a job."""


class Fusing:
    """Says of each job of a study how it is trained together with others, from the ``settings`` and the ledger."""

    def __init__(self, ledger: Ledger, settings: Mapping[str, Any]) -> None:
        self._ledger, self._searches = ledger, SEARCH in settings
        self._fuse_of_stage = fuse_settings(settings)

    def fuse_of(self, job: JobDescription) -> Fuse | None:
        """What the study says of the jobs of this job's stage; None for ``off``."""
        return self._fuse_of_stage.get(job.stage)

    def refusal(self, job: JobDescription) -> str | None:
        """Return why jobs like this one cannot be started together; None if they can."""
        if self._searches:
            return "a search pauses its trials one by one"
        return refusal_of(job) or ("the study is throttled" if self._ledger.throttle.limit is not None else None)

    def has_failed(self, job: JobDescription) -> bool:
        """Whether a job has failed in a way that others in its process may have caused: it is tried again alone.

        Once a person has resumed it, it may train together with others again.
        """
        failures = self._ledger.record_of(job.id).failures()
        # A process that was killed, nobody knows by whom, may have needed too much memory; a node that failed did not.
        return any(one["kind"] in _MAY_BE_DUE_TO_OTHERS or one.get("digest") == KILLED for one in failures)
