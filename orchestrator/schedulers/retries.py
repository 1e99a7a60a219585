"""Retries: jobs that were submitted, are not done, and may be submitted again without a command of a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.advance_round import AdvanceRound
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.intents import make_intents, test_submissions
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.job_states import ACTIVE_STATES


class Retries:
    """Writes the intents of retries in one call of `advance`."""

    def __init__(self, this_round: AdvanceRound) -> None:
        self._round = this_round

    def make_intents_for_retries(self) -> None:
        """Write the intents of jobs that were submitted, are not done, and may be submitted again without a command."""
        jobs_to_resubmit: dict[str, JobDescription] = {}
        candidates = self._candidates()
        fits = self._fits_at_work() if candidates else set()
        for job in candidates:
            # A job whose fit another job is training now is submitted when that training has ended.
            if job.id in jobs_to_resubmit or job.fit in fits:
                continue
            if self._is_to_resubmit(job) and self._are_parents_coming(job, jobs_to_resubmit):
                jobs_to_resubmit[job.id] = job
        groups: dict[tuple[bool, tuple[str, ...]], list[JobDescription]] = defaultdict(list)
        for job in jobs_to_resubmit.values():
            groups[self._time_factor(job) > 1, self._nodes_to_avoid(job)].append(job)
        for (has_more_time, nodes), group in groups.items():
            jobs, excluded_nodes = [self._with_next_resources(job) for job in group], nodes
            if (has_more_time or nodes) and self._would_be_refused(jobs, nodes):
                # Less is better than nothing: the queue may allow no more time, and there may be no other node.
                jobs, excluded_nodes = [self._with_next_resources(job, is_modest=True) for job in group], ()
            self._round.result.resubmitted += sum(one.task_count for one in self._make_intents(jobs, excluded_nodes))

    def _candidates(self) -> list[JobDescription]:
        """The current jobs that have no task in the queue and have not recorded that they were done.

        Most jobs of a large study are done or queued. Nothing is read of them, neither descriptions nor results.
        """
        ledger = self._round.ledger
        sent, queued = ledger.last_submission_of, ledger.open_submission_of
        return ledger.plans.choose_current(lambda job: job in sent and job not in queued and not ledger.is_done(job))

    def _fits_at_work(self) -> set[str]:
        """The fits that jobs of the study are training now."""
        begun = self._round.ledger.plans.choose_current(self._round.ledger.has_begun)
        return {job.fit for job in begun if self._round.states.of(job.id).state == "running"}

    def _is_to_resubmit(self, job: JobDescription) -> bool:
        last_submission = self._round.ledger.last_submission_of.get(job.id)
        if last_submission is None or last_submission.array is None:
            return False
        job_state = self._round.states.of(job.id)
        if job_state.is_held:
            return False
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

    def _with_next_resources(self, job: JobDescription, is_modest: bool = False) -> JobDescription:
        """The job with its resources after its failures.

        Unless ``is_modest``, it also has more time if it has often continued at its time limit.
        """
        failures, policies = self._round.ledger.record_of(job.id).failures(), self._round.policies
        memory, time_limit = policies.memory_after(job.resources.memory_bytes, failures), float(job.resources.time_s)
        for failure in failures:
            time_limit *= policies.policy_for(failure["kind"]).time
        time_limit *= 1 if is_modest else self._time_factor(job)
        resources = replace(job.resources, memory_bytes=memory, time_s=round(time_limit))
        return replace(job, resources=self._with_larger_gpu(job, resources))

    def _with_larger_gpu(self, job: JobDescription, resources: Resources) -> Resources:
        """The resources with the memory of a larger type of GPU, for a job whose failures ask for one."""
        failures = self._round.ledger.record_of(job.id).failures()
        steps = sum(self._round.policies.policy_for(failure["kind"]).larger_gpu for failure in failures)
        batch = ClusterSettings.parse(self._round.settings["cluster"]).scheduler if steps else None
        size = batch.for_resources(resources).larger_gpu_memory(steps) if batch is not None else None
        return resources if size is None else replace(resources, extra={**resources.extra, "gpu_memory": f"{size}B"})

    def _time_factor(self, job: JobDescription) -> float:
        """How many times as much time a job gets because it has continued so often at its time limit."""
        rounds = self._round.ledger.record_of(job.id).rounds("timeout")
        return float(
            self._round.policies.policy_for("timeout").time ** (rounds // self._round.policies.more_time_after)
        )

    def _nodes_to_avoid(self, job: JobDescription) -> tuple[str, ...]:
        """The nodes on which the job must not run after its failures."""
        failures = self._round.ledger.record_of(job.id).failures()
        nodes = (one.get("node") for one in failures if self._round.policies.policy_for(one["kind"]).other_node)
        return tuple(sorted({node for node in nodes if node}))

    def _would_be_refused(self, jobs: Sequence[JobDescription], excluded_nodes: tuple[str, ...]) -> bool:
        try:
            test_submissions(self._round.ledger, jobs, self._round.settings, excluded_nodes)
        except (RefusedError, UsageError):
            return True
        return False

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
