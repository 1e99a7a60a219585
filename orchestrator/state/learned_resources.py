"""What like jobs have used, and the requests for memory and time that follow from it where they are ``auto``.

Jobs are alike if they have the same stage and run the same function. Those of the study itself count if there are at
least three of them, else those of all studies under the root. A learned request is the 95th percentile of what they
used, times 1.3, rounded up. With fewer than three like jobs the first value of the study file is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.state.usage import JobUse, percentile, uses_in_ledger

ENOUGH_JOBS = 3
"""Like jobs that are needed to learn from them."""
_PERCENTILE = 0.95
_MARGIN = 1.3
_UNUSED_FACTOR, _WORTH_IT = 10, 4
_MINUTE, _HOUR, _MB, _GB = 60, 3600, 1024**2, 1024**3
_STEPS: Mapping[str, Sequence[tuple[int, int]]] = {
    "time": ((2 * _HOUR, 5 * _MINUTE), (12 * _HOUR, 30 * _MINUTE)),
    "memory": ((4 * _GB, 512 * _MB),),
}
"""Requests below the first number are rounded up to a multiple of the second."""
_LARGEST_STEP = {"time": _HOUR, "memory": _GB}
FIELDS = {"time": "time_s", "memory": "memory_bytes"}
_FIRST_VALUES = {"time": "2h", "memory": "8GB"}
_USED: Mapping[str, Callable[[JobUse], float | None]] = {
    "time": lambda use: use.seconds,
    "memory": lambda use: use.memory_bytes,
}


class UsageHistory:
    """What jobs of the root have used. Nothing is read before it is asked for."""

    def __init__(self, states: JobStates) -> None:
        self._states = states
        self._uses: list[tuple[bool, JobUse]] | None = None
        self._amounts: dict[tuple[str, str, str], list[float]] = {}

    def amounts(self, key: str, stage: str, run: str) -> list[float]:
        """Return the ``time`` (seconds) or ``memory`` (bytes) that like jobs used."""
        place = key, stage, run
        if place not in self._amounts:
            like = [(is_own, _USED[key](use)) for is_own, use in self._all_uses() if (use.stage, use.run) == place[1:]]
            own = [amount for is_own, amount in like if is_own and amount is not None]
            known = own if len(own) >= ENOUGH_JOBS else [amount for _, amount in like if amount is not None]
            self._amounts[place] = known
        return self._amounts[place]

    def _all_uses(self) -> list[tuple[bool, JobUse]]:
        if self._uses is None:
            ledgers = self._states.ledgers_of_root()
            self._uses = [(ledger is ledgers[0], use) for ledger in ledgers for use in uses_in_ledger(ledger)]
        return self._uses

    def with_learned_resources(self, jobs: Sequence[JobDescription]) -> list[JobDescription]:
        """Return the jobs with requests in place of ``auto``.

        Raises UsageError for a job that is not done and of which neither a like job nor a first value is known.
        """
        known: dict[tuple[str, str, int], Resources] = {}
        learned = []
        for job in jobs:
            if job.resources.auto:
                place = job.stage, job.run, id(job.resources)
                if place not in known:
                    known[place] = self._learn(job)
                learned.append(replace(job, resources=self._check(job, known[place])))
            else:
                learned.append(job)
        return learned

    def _check(self, job: JobDescription, resources: Resources) -> Resources:
        """Return the resources. A job that is done and of which nothing is known has the defaults: it asks for nothing.

        Raises UsageError for a job that is not done.
        """
        unknown = [key for key in resources.auto if not getattr(resources, FIELDS[key])]
        if unknown and self._states.of(job.id).state != "done":
            key = unknown[0]
            raise UsageError(
                f"resources.{key}: auto: no job of stage {job.stage} is done from which it could be learned;"
                f" name a first value: resources.{key}='auto {_FIRST_VALUES[key]}'"
            )
        defaults: dict[str, Any] = {FIELDS[key]: getattr(Resources(), FIELDS[key]) for key in unknown}
        return replace(resources, **defaults)

    def _learn(self, job: JobDescription) -> Resources:
        resources = job.resources
        for key in resources.auto:
            field, amounts = FIELDS[key], self.amounts(key, job.stage, job.run)
            first = getattr(resources, field)
            if len(amounts) >= ENOUGH_JOBS or (amounts and not first):
                learned: dict[str, Any] = {field: learned_amount(key, amounts)}
                resources = replace(resources, **learned)
        return resources


def learned_amount(key: str, amounts: Sequence[float]) -> int:
    """Return the request that follows from what like jobs used: the 95th percentile, times 1.3, rounded up."""
    wanted = percentile(amounts, _PERCENTILE) * _MARGIN
    step = next((step for below, step in _STEPS[key] if wanted < below), _LARGEST_STEP[key])
    return max(1, -(-round(wanted) // step)) * step


def unused_requests(history: UsageHistory, jobs: Iterable[JobDescription]) -> list[tuple[str, str, int, int]]:
    """Return the requests that are at least ten times what like jobs used: (stage, key, request, learned request).

    Those that learning would not make much smaller are left out.
    """
    requests = {
        (job.stage, key, getattr(job.resources, field)): job.run
        for job in jobs
        for key, field in FIELDS.items()
        if key not in job.resources.auto
    }
    found = []
    for (stage, key, asked), run in requests.items():
        amounts = history.amounts(key, stage, run)
        if len(amounts) >= ENOUGH_JOBS and asked >= _UNUSED_FACTOR * percentile(amounts, _PERCENTILE):
            enough = learned_amount(key, amounts)
            if asked >= _WORTH_IT * enough:
                found.append((stage, key, asked, enough))
    return found
