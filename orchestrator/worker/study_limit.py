"""How many jobs of a study a worker may begin, if the study is throttled.

On this machine the workers of a study count what the others run, and of two that begin a job at the same moment only
one gets the lock of each place. A scheduler counts tasks itself; the worker of a task counts its own jobs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from seedfold.jobs.errors import count_noun
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.worker.slots import GpuPlaces, Machine, Slot

_DIGEST = 16


class StudyLimit:
    """The throttle of the study of ``submission``, for the worker of one of its tasks."""

    def __init__(self, states: JobStates, submission: Submission, machine: Machine) -> None:
        self._states, self._submission, self._machine = states, submission, machine
        folder = str(states.ledger.study.path.resolve())
        self._name = f"study-{hashlib.sha256(folder.encode()).hexdigest()[:_DIGEST]}"

    @property
    def _limit(self) -> int | None:
        return self._states.ledger.throttle.limit

    def is_reached(self, running: Collection[str]) -> bool:
        """Whether as many jobs run as may, of which this worker has the ``running`` ones."""
        if self._limit is None:
            return False
        others = 0 if self._submission.array is not None else self._count_others(running)
        return len(running) + others >= self._limit

    def _count_others(self, running: Collection[str]) -> int:
        ledger = self._states.ledger
        others = {job for one in ledger.live_submissions if one.token != self._submission.token for job in one.jobs}
        begun = (job for job in others if (ledger.record_of(job).latest_event or {}).get("e") == "started")
        return sum(self._states.of(job).state == "running" for job in begun if job not in running)

    def acquire_slot(
        self, resources: Resources, running: Collection[str], processes: int, places: GpuPlaces | None = None
    ) -> Slot | None:
        """Take a slot for a process next to the ``running`` jobs, and a place of the study; None if one is missing.

        ``processes`` is the number of processes in which these jobs run, ``places`` what it may take of the GPUs.
        """
        slot = None if self.is_reached(running) else self._machine.acquire_slot(resources, processes, places)
        if slot is None or self._limit is None:
            return slot
        release = self._machine.lock_one([f"{self._name}.{number}" for number in range(self._limit)])
        if release is None:
            slot.release()
            return None
        slot.locks.append(release)
        return slot

    def to_text(self) -> str:
        """What the worker waits for if the limit is reached, as one line of text."""
        return f"waits, because at most {count_noun(self._limit or 0, 'job')} of the study may run (seedfold throttle)"
