"""What a worker records of the attempts of its task: events that name the submission and the node."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from seedfold.orchestrator.ledger.claims import is_published
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.task_scope import events_prefix
from seedfold.orchestrator.settings.failures import Failure, blame_job_if_killed_everywhere
from seedfold.orchestrator.state.job_states import JobState, unrecorded_done_event
from seedfold.orchestrator.worker.environment import Interruption
from seedfold.orchestrator.worker.messages import Message
from seedfold.orchestrator.worker.running_attempt import RunningAttempt
from seedfold.orchestrator.worker.storage_wait import StorageWait, WaitingEventWriter
from seedfold.orchestrator.worker.used_resources import merge_use
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.store.published import DamagedError, find_damage


class AttemptEvents(WaitingEventWriter):
    """Records the events of a worker in the task of a ``submission`` on a ``node``."""

    def __init__(
        self, study: StudyFolder, submission: Submission, node: str, storage: StorageWait, index: int = 0
    ) -> None:
        prefix = events_prefix(submission.token, index) if submission.array else ""
        super().__init__(study.events_folder, storage, prefix)
        self.of_study = WaitingEventWriter(study.events_folder, storage)
        """What the workers of other tasks have to know as well: they do not read the file of this task."""
        self._study, self._submission, self._node = study, submission.token, node
        self._place = [submission.token, index] if SEARCH_JOB in submission.jobs else None

    def close(self) -> None:
        """Close the files."""
        super().close()
        self.of_study.close()

    def append_started(self, running: RunningAttempt, process: Message) -> None:
        """Record that an attempt has begun: on which GPUs, and from which step if a checkpoint says it."""
        details: dict[str, Any] = {} if running.step_before is None else {"step": running.step_before}
        details |= {"gpus": list(running.slot.gpus)} if running.slot.gpus else {}
        # Any task of a search may run any of its jobs: it is found here which one did.
        details |= {"task": self._place} if self._place else {}
        self.append("started", job=running.job.id, n=running.attempt, process=process, **details)

    def append_impossible(self, job: str, attempt: int, reason: str) -> None:
        """Record that a job cannot begin here, because of what it asks for."""
        failure = Failure("config", f"the job {reason}", "impossible")
        self.append("failed", job=job, n=attempt, **failure.to_dict())

    def append_blocked(self, running: RunningAttempt, parents: Mapping[str, int]) -> None:
        """Record that an attempt says it is blocked, and the attempts of its parents on which that depends."""
        assert running.last_message is not None
        reason = running.last_message["reason"]
        self.append("blocked", job=running.job.id, n=running.attempt, reason=reason, parents=parents)

    def has_published(self, job: str, attempt: int) -> bool:
        """Whether an attempt has published its result."""
        return self._storage.until_done(lambda: is_published(self._study, job, attempt))

    def append_done(self, job: str, attempt: int, seen: Mapping[str, float] | None = None) -> str | None:
        """Record an attempt that has published its result; return what is wrong if the result is not whole.

        ``seen`` is what its worker saw of what it used.
        """
        try:
            event = self._storage.until_done(lambda: unrecorded_done_event(self._study, job, attempt))
        except DamagedError as error:
            return str(error)
        folder = self._study.result_folder_text(job, attempt)
        damage = self._storage.until_done(lambda: find_damage(folder, event["files"], result=event.get("result")))
        if damage:
            return damage
        if seen:
            event["usage"] = merge_use(event.get("usage", {}), seen)
        self.append("done", **{key: value for key, value in event.items() if key not in {"e", "t"}})
        return None

    def append_unrecorded(self, job: str, attempt: int, known: Event | None) -> bool:
        """Record an attempt whose last ``known`` event is not its end, if it has published a whole result."""
        is_recorded = known is not None and known["e"] != "started"
        return not is_recorded and self.has_published(job, attempt) and self.append_done(job, attempt) is None

    def append_interrupted(
        self, job: str, attempt: int, reason: str, why: Interruption | None, *, alone: bool = False
    ) -> None:
        """Record an attempt that was stopped; ``why`` is what the scheduler did, None if a person stopped it.

        The next one shares its GPU with nobody if it has to be ``alone``.
        """
        details: dict[str, Any] = {} if why is None else {"why": why, "submission": self._submission}
        details |= {"alone": True} if alone else {}
        self.append("interrupted", job=job, n=attempt, reason=reason, **details)

    def append_paused(self, running: RunningAttempt) -> None:
        """Record an attempt that has trained for as long as its search wants for now, with its metrics."""
        assert running.last_message is not None
        file = Attempt(running.job, running.attempt, self._study.job_folder(running.job.id)).paused_file
        metrics = json.loads(self._storage.until_done(file.read_text))
        epochs = running.last_message["epochs"]
        self.append("paused", job=running.job.id, n=running.attempt, epochs=epochs, metrics=metrics)

    def append_requeued(self, states: Mapping[str, JobState]) -> None:
        """Record the end of attempts that the task ran before its requeue, if they could not record it themselves."""
        for job, state in states.items():
            if state.state == "lost" and state.event is not None and state.event["e"] == "started":
                reason = "its task was requeued: preempted, or its node failed"
                self.append_interrupted(job, state.attempt, reason, "preempted")

    def append_failed(
        self, job: str, attempt: int, failure: Failure, peak: int, earlier: Sequence[Mapping[str, Any]]
    ) -> Failure:
        """Record a failed attempt, and return the failure as it was recorded.

        ``peak`` is its memory in bytes. ``earlier`` failures of the job may show that it is the job's own fault.
        """
        failure = blame_job_if_killed_everywhere(failure, self._node, earlier)
        where = {"node": self._node, "submission": self._submission}
        self.append("failed", job=job, n=attempt, peak=peak, **where, **failure.to_dict())
        return failure
