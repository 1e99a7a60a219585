"""The tasks of a search: as many as there are open jobs, and no more than may run at a time.

A task of a search has no jobs of its own. It takes any open job, decides what is tried next, and ends when there is
nothing left for it. Whoever advances the study submits tasks in place of those that ended while jobs are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB
from seedfold.orchestrator.ledger.search_launch import SearchLaunch, has_launch
from seedfold.orchestrator.ledger.submissions import Submission, TaskArray
from seedfold.orchestrator.ledger.turns import next_turn, take_turn
from seedfold.orchestrator.schedulers.advance_round import AdvanceRound, count_open_tasks
from seedfold.orchestrator.settings.cluster import ClusterSettings

_RESERVED_FOR_KEEPERS = 2


class SearchPools:
    """Keeps up the number of tasks of a study's search in one call of `advance`; other studies have none."""

    def __init__(self, this_round: AdvanceRound) -> None:
        self._round = this_round

    def keep_up(self) -> None:
        """Decide what is tried next, and write the intent of the tasks that are missing."""
        cluster = ClusterSettings.parse(self._round.settings["cluster"])
        if SEARCH not in self._round.settings or cluster.scheduler is None or not has_launch(self._round.study):
            return
        memory = self._decide()
        failures = self._round.ledger.record_of(SEARCH_JOB).failures()
        if not memory or self._round.policies.retries_are_exhausted(failures):
            return
        array = _make_array(self._round, cluster, max(memory))
        while (missing := self._missing_tasks(memory, array, cluster)) > 0:
            turn, token = next_turn(self._round.study), Submission.new_token()
            self._round.ledger.refresh()
            if self._missing_tasks(memory, array, cluster) == missing and take_turn(self._round.study, turn, [token]):
                self._create(token, array, missing)

    def _decide(self) -> list[int]:
        """Make the decisions that can be made now; return what open jobs need, as many as may run at a time.

        That is their memory in bytes, the largest first.
        """
        # Only searches need this, and what it imports.
        from seedfold.orchestrator.search.study_search import StudySearch

        search = StudySearch(self._round.states)
        if search.is_cancelled:
            return []
        try:
            while search.step():
                self._round.states.refresh()
        except (UsageError, DamagedFileError) as error:
            self._round.result.problems.append(str(error))
        most = min(search.settings.parallel, search.count_places())
        return sorted(map(search.memory_of, search.planned_open_jobs()), reverse=True)[:most]

    def _missing_tasks(self, memory: Sequence[int], array: TaskArray, cluster: ClusterSettings) -> int:
        """How many tasks are to be submitted so that there is one for each open job, with the memory that it needs."""
        assert cluster.scheduler is not None
        wanted = -(-len(memory) // array.side_by_side)
        live = [one for one in self._round.ledger.live_submissions if SEARCH_JOB in one.jobs]
        most = cluster.scheduler.max_submitted
        if most is not None:
            wanted = min(wanted, max(1, most - _RESERVED_FOR_KEEPERS))
        at_work = [one.array.resources.memory_bytes for one in live if one.array and count_open_tasks(one)]
        larger = sum(needed > max(at_work) for needed in memory) if at_work else 0
        return max(wanted - sum(map(count_open_tasks, live)), -(-larger // array.side_by_side))

    def _create(self, token: str, array: TaskArray, tasks: int) -> None:
        launch = SearchLaunch.read(self._round.study)
        settings = {key: self._round.settings[key] for key in ("cluster", "failures")}
        folder, jobs = Path(launch.folder), [SEARCH_JOB] * tasks
        Submission.create(self._round.study, jobs, settings, folder, None, array, token, launch.snapshot)
        self._round.ledger.refresh()


def _make_array(this_round: AdvanceRound, cluster: ClusterSettings, memory_bytes: int) -> TaskArray:
    """The array whose tasks can run each job of the search: they have the most of everything that one asks for.

    ``memory_bytes`` is what one needs after it had too little.
    """
    jobs = list(this_round.ledger.plans.trial_jobs.values())
    asked = [job.resources for job in jobs]
    resources = Resources(
        cpus=max(one.cpus for one in asked),
        gpus=max(one.gpus for one in asked),
        memory_bytes=max(memory_bytes, *(one.memory_bytes for one in asked)),
        time_s=max(one.time_s for one in asked),
        extra=asked[-1].extra,
    )
    side_by_side = cluster.slots or (cluster.most_jobs_per_gpu if resources.gpus else 1)
    return TaskArray(jobs[0].stage, replace(resources, auto=()), 1, side_by_side)
