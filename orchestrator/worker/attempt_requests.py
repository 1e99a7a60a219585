"""What a worker asks its template process for: the request for one attempt at a job."""

from __future__ import annotations

from dataclasses import dataclass

from seedfold.jobs.description import JobDescription
from seedfold.jobs.work import MICRO_BATCH_HALVINGS
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.worker.environment import WorkerEnvironment
from seedfold.orchestrator.worker.gpu_sharing import GpuSharing
from seedfold.orchestrator.worker.messages import AttemptRequest
from seedfold.orchestrator.worker.search_pool import SearchPool
from seedfold.orchestrator.worker.slots import Slot


@dataclass(frozen=True, slots=True)
class AttemptRequests:
    """Makes the requests of the worker of one task."""

    root: Root
    study: StudyFolder
    submission: Submission
    environment: WorkerEnvironment
    states: JobStates
    sharing: GpuSharing

    def make(
        self, job: JobDescription, attempt: int, slot: Slot, fit_needed: bool, pool: SearchPool | None = None
    ) -> AttemptRequest:
        """Make one; ``fit_needed`` means that another job will predict from the same fit.

        The search of a ``pool``, or else the submission, says after how many epochs the job is paused.
        """
        parents = {parent: self.states.of(parent) for parent in self.states.needed_parents(job)}
        return AttemptRequest(
            root=str(self.root.path),
            study=self.study.name,
            submission=self.submission.token,
            attempt=attempt,
            job=job.to_dict(),
            parents={
                parent: (job_state.holding_study.name, job_state.attempt) for parent, job_state in parents.items()
            },
            stages={parent: self.states.stage_of(parent) for parent in parents},
            environment=self.sharing.environment_variables(slot) | self._memory_variables(job),
            fit_needed=fit_needed,
            task=(self.environment.index, self.environment.restart),
            nan=self.states.policies.nan,
            launch_folder=self.submission.code_folder,
            done_before=self._last_done(job.id),
            is_rerun=job.id in self.states.ledger.rerun_attempts,
            pause_after=pool.pause_after(job.id) if pool else self.submission.pause_after.get(job.id),
        )

    def _memory_variables(self, job: JobDescription) -> dict[str, str]:
        """How often the job halves its micro-batch: its configuration, and so its id, stay what they are."""
        failures = self.states.ledger.record_of(job.id).failures()
        halvings = self.states.policies.micro_batch_halvings(failures)
        return {MICRO_BATCH_HALVINGS: str(halvings)} if halvings else {}

    def _last_done(self, job_id: str) -> int:
        """The latest attempt of which it is known that it published a result, whether that is still there or not."""
        event = self.states.ledger.record_of(job_id).done_event
        return 0 if event is None else int(event["n"])
