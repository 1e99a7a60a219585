"""Which jobs a worker starts in one process, so that they are trained together (the key ``fuse`` of a stage)."""

from __future__ import annotations

from collections.abc import Mapping

from seedfold.jobs.description import JobDescription
from seedfold.jobs.fusing import Fuse, fuse_key
from seedfold.orchestrator.state.fusing import Fusing
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.worker.job_queue import JobQueue
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.running_attempt import RunningAttempt, count_processes
from seedfold.orchestrator.worker.slots import Machine


class JobGroups:
    """Chooses the jobs that train together with one that starts."""

    def __init__(self, states: JobStates, machine: Machine) -> None:
        header = states.ledger.plans.header
        self._fusing = Fusing(states.ledger, header.settings if header else {})
        self._machine = machine
        self._keys: dict[str, str] = {}
        self._alone: set[str] = set()
        self._told: set[str] = set()

    def fuse_of(self, job: JobDescription) -> Fuse | None:
        """How the jobs of this job's stage train together; None if they do not."""
        fuse = self._fusing.fuse_of(job)
        if fuse is None or self._is_alone(job) or self._key(job) in self._alone:
            return None
        reason = self._fusing.refusal(job)
        if reason is not None:
            self._tell(f"stage {job.stage}: each job trains alone: {reason}")
            return None
        return fuse

    def are_measured(self, job: JobDescription) -> bool:
        """Whether an epoch of jobs like this one is measured, to find out what is faster."""
        fuse = self.fuse_of(job)
        return fuse is not None and fuse.measured

    def mates_of(
        self, job: JobDescription, queue: JobQueue, running: Mapping[str, RunningAttempt]
    ) -> list[JobDescription]:
        """Return the jobs that start in one process with ``job``; the slots that are free share all that are ready."""
        fuse = self.fuse_of(job)
        if fuse is None:
            return []
        free = max(1, self._machine.count_slots(job.resources) - count_processes(running.values()))
        fits = {one.job.fit for one in running.values()}
        mates = queue.ready_mates(job, self._key_of_mates, running, fits, fuse.most * free - 1)
        share = -(-(len(mates) + 1) // free)
        return mates[: min(fuse.most, share) - 1]

    def start_alone(self, job: JobDescription, code: int) -> str:
        """Start a job alone from now on: its process of several jobs has ended, and nobody knows whose fault it was.

        ``code`` is the exit code of the process. Returns what has happened.
        """
        self._alone.add(job.id)
        how = f"signal {-code}" if code < 0 else f"code {code}"
        reason = f"the process in which it was trained with others ended ({how}); it goes on alone"
        say(f"{job.short_id}: {reason}")
        return reason

    def note(self, job: JobDescription, reason: str, again: bool) -> None:
        """Take note of what became of the group of ``job``: unless ``again``, jobs like it start alone from now on."""
        if not again:
            self._alone.add(self._key(job))
        say(f"stage {job.stage}: {reason}")

    def _is_alone(self, job: JobDescription) -> bool:
        return job.id in self._alone or self._fusing.has_failed(job)

    def _key_of_mates(self, job: JobDescription) -> str:
        """What jobs have in common that start together; a job that starts alone has it with no other."""
        return job.id if self._is_alone(job) else self._key(job)

    def _key(self, job: JobDescription) -> str:
        if job.id not in self._keys:
            self._keys[job.id] = fuse_key(job)
        return self._keys[job.id]

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            say(line)
