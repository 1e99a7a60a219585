"""Jobs that are handed over again: those that were handed over, are not done, and may still become so by themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.intents import make_intents
from seedfold.orchestrator.schedulers.round import Round
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.state.job_states import ALIVE


class Retries:
    """Writes the intents of what is tried again in one round."""

    def __init__(self, this_round: Round) -> None:
        self._round = this_round

    def hand_over(self) -> None:
        """Hand over again what was handed over, is not done, and may still become so by itself."""
        chosen: dict[str, JobDescription] = {}
        current = self._round.ledger.plans.current.values()
        fits = {job.fit for job in current if self._round.standings.of(job.id).state == "running"}
        for job in current:
            # What another job trains at this moment is handed over when that one is through.
            if job.id in chosen or job.fit in fits:
                continue
            if self._is_to_renew(job) and self._parents_come(job, chosen):
                chosen[job.id] = job
        groups: dict[tuple[str, ...], list[JobDescription]] = defaultdict(list)
        for job in chosen.values():
            asked, avoided = self._asked_next(job)
            groups[avoided].append(replace(job, resources=asked))
        for avoided, jobs in groups.items():
            self._round.done.renewed += sum(one.task_count for one in self._hand_over(jobs, avoided))

    def _is_to_renew(self, job: JobDescription) -> bool:
        last = self._round.ledger.handed_over.get(job.id)
        if last is None or last.array is None:
            return False
        standing = self._round.standings.of(job.id)
        if standing.state == "failed":
            return not self._round.policies.exhausted(self._round.ledger.record(job.id).failures())
        if standing.state not in {"waiting", "lost"} or last.is_void():
            return False
        if standing.event is not None and standing.event["e"] == "done":
            # A result that went missing since is for a person to see, and to ask for again.
            return False
        words = last.tasks.last_words(last.jobs.index(job.id) // last.array.per_task)
        return not words.get("closed")

    def _parents_come(self, job: JobDescription, chosen: Mapping[str, JobDescription]) -> bool:
        states = ((parent, self._round.standings.of(parent).state) for parent in job.parents)
        return all(parent in chosen or state == "done" or state in ALIVE for parent, state in states)

    def _asked_next(self, job: JobDescription) -> tuple[Resources, tuple[str, ...]]:
        """What a job asks for after its failures, and the nodes that it stays away from."""
        memory, limit, nodes = float(job.resources.memory_bytes), float(job.resources.time_s), set[str]()
        for failure in self._round.ledger.record(job.id).failures():
            policy = self._round.policies.of(failure["kind"])
            memory, limit = memory * policy.memory, limit * policy.time
            if policy.other_node and failure.get("node"):
                nodes.add(failure["node"])
        asked = replace(job.resources, memory_bytes=round(memory), time_s=round(limit))
        return asked, tuple(sorted(nodes))

    def _hand_over(self, jobs: Sequence[JobDescription], avoided: tuple[str, ...]) -> list[Submission]:
        """Write intents under tokens that follow from what is asked: of two who try, one succeeds."""
        cluster = Cluster.parse(self._round.settings["cluster"])
        if cluster.batch is None:
            return []
        return make_intents(
            self._round.study,
            self._round.ledger,
            jobs,
            self._round.settings,
            self._round.folder,
            avoided=avoided,
            renewed=True,
        )
