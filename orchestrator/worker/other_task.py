"""Which jobs of a task have to be submitted again, because their next attempt needs what this task has not."""

from __future__ import annotations

from collections.abc import Iterable

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.ledger import JobRecord
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import JobStates


def needs_other_task(record: JobRecord, submission: Submission, policies: RetryPolicies) -> bool:
    """Whether a job's next attempt needs more time, more memory or another node than the tasks of ``submission`` have.

    What happened in earlier submissions was considered when this one was made. A worker of this machine tries again
    with what it has.
    """
    event = record.latest_event
    if submission.array is None or event is None or event.get("submission") != submission.token:
        return False
    if event["e"] == "failed":
        policy = policies.next_retry(record.failures())
        return policy is not None and policy.needs_resubmission
    return event["e"] == "interrupted" and _is_due_more_time(record, submission, policies)


def are_unfinished(jobs: Iterable[JobDescription], states: JobStates, submission: Submission) -> bool:
    """Whether a task has something left to do for one of its jobs."""
    return any(_is_unfinished(job.id, states, submission) for job in jobs)


def _is_unfinished(job: str, states: JobStates, submission: Submission) -> bool:
    job_state, record = states.of(job), states.ledger.record_of(job)
    if needs_other_task(record, submission, states.policies):
        return False
    if job_state.state == "failed":
        return not states.policies.retries_are_exhausted(record.failures())
    return job_state.state not in {"done", "paused", "cancelled"} and not job_state.has_nothing_to_do


def _is_due_more_time(record: JobRecord, submission: Submission, policies: RetryPolicies) -> bool:
    """Whether a job has continued so often at its time limit that it gets more time; a keeper job submits it."""
    batch = ClusterSettings.parse(submission.settings["cluster"]).scheduler
    rounds = record.rounds("timeout")
    return batch is not None and batch.keeper and rounds > 0 and rounds % policies.more_time_after == 0
