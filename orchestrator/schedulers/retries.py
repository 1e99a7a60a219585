"""Retries: jobs that were submitted, are not done, and may be submitted again without a command of a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.advance_round import AdvanceRound
from seedfold.orchestrator.schedulers.intents import make_intents
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.job_states import ACTIVE_STATES


class Retries:
    """Writes the intents of retries in one call of `advance`."""

    def __init__(self, this_round: AdvanceRound) -> None:
        self._round = this_round

    def make_intents_for_retries(self) -> None:
        """Write the intents of jobs that were submitted, are not done, and may be submitted again without a command."""
        jobs_to_resubmit: dict[str, JobDescription] = {}
        current = self._round.ledger.plans.current_jobs.values()
        fits = {job.fit for job in current if self._round.states.of(job.id).state == "running"}
        for job in current:
            # A job whose fit another job is training now is submitted when that training has ended.
            if job.id in jobs_to_resubmit or job.fit in fits:
                continue
            if self._is_to_resubmit(job) and self._are_parents_coming(job, jobs_to_resubmit):
                jobs_to_resubmit[job.id] = job
        groups: dict[tuple[str, ...], list[JobDescription]] = defaultdict(list)
        for job in jobs_to_resubmit.values():
            resources, excluded_nodes = self._next_resources(job)
            groups[excluded_nodes].append(replace(job, resources=resources))
        for excluded_nodes, jobs in groups.items():
            self._round.result.resubmitted += sum(one.task_count for one in self._make_intents(jobs, excluded_nodes))

    def _is_to_resubmit(self, job: JobDescription) -> bool:
        last_submission = self._round.ledger.last_submission_of.get(job.id)
        if last_submission is None or last_submission.array is None:
            return False
        job_state = self._round.states.of(job.id)
        if job_state.state == "failed":
            return not self._round.policies.retries_are_exhausted(self._round.ledger.record_of(job.id).failures())
        if job_state.state not in {"waiting", "lost"} or last_submission.is_unsubmittable():
            return False
        if job_state.event is not None and job_state.event["e"] == "done":
            # If a result has been lost since, a person has to see that and run the job again.
            return False
        end_record = last_submission.tasks.end_details(
            last_submission.jobs.index(job.id) // last_submission.array.per_task
        )
        return not end_record.get("closed")

    def _are_parents_coming(self, job: JobDescription, jobs_to_resubmit: Mapping[str, JobDescription]) -> bool:
        states = ((parent, self._round.states.of(parent).state) for parent in job.parents)
        return all(parent in jobs_to_resubmit or state == "done" or state in ACTIVE_STATES for parent, state in states)

    def _next_resources(self, job: JobDescription) -> tuple[Resources, tuple[str, ...]]:
        """The resources of a job after its failures, and the nodes on which it must not run."""
        memory, time_limit, nodes = float(job.resources.memory_bytes), float(job.resources.time_s), set[str]()
        for failure in self._round.ledger.record_of(job.id).failures():
            policy = self._round.policies.policy_for(failure["kind"])
            memory, time_limit = memory * policy.memory, time_limit * policy.time
            if policy.other_node and failure.get("node"):
                nodes.add(failure["node"])
        resources = replace(job.resources, memory_bytes=round(memory), time_s=round(time_limit))
        return resources, tuple(sorted(nodes))

    def _make_intents(self, jobs: Sequence[JobDescription], excluded_nodes: tuple[str, ...]) -> list[Submission]:
        """Write intents with tokens that follow from their content: of two processes that try, one succeeds."""
        cluster = ClusterSettings.parse(self._round.settings["cluster"])
        if cluster.scheduler is None:
            return []
        return make_intents(
            self._round.study,
            self._round.ledger,
            jobs,
            self._round.settings,
            self._round.folder,
            excluded_nodes=excluded_nodes,
            resubmitted=True,
        )
