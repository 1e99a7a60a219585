"""The tasks of a search: as many as there are open jobs, and no more than may run at a time.

A task of a search has no jobs of its own. It takes any open job, decides what is tried next, and ends when there is
nothing left for it. Whoever advances the study submits tasks in place of those that ended while jobs are left.
"""

from __future__ import annotations

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
        open_jobs = self._decide()
        failures = self._round.ledger.record_of(SEARCH_JOB).failures()
        if not open_jobs or self._round.policies.retries_are_exhausted(failures):
            return
        array = _make_array(self._round, cluster)
        wanted = -(-open_jobs // array.side_by_side)
        while (missing := self._missing_tasks(wanted, cluster)) > 0:
            turn, token = next_turn(self._round.study), Submission.new_token()
            self._round.ledger.refresh()
            if self._missing_tasks(wanted, cluster) == missing and take_turn(self._round.study, turn, [token]):
                self._create(token, array, missing)

    def _decide(self) -> int:
        """Make the decisions that can be made now; return how many jobs are open, at most as many as may run."""
        # Only searches need this, and what it imports.
        from seedfold.orchestrator.search.study_search import StudySearch

        search = StudySearch(self._round.states)
        if search.is_cancelled:
            return 0
        try:
            while search.step():
                self._round.states.refresh()
        except (UsageError, DamagedFileError) as error:
            self._round.result.problems.append(str(error))
        return min(search.settings.parallel, len(search.open_jobs()))

    def _missing_tasks(self, wanted: int, cluster: ClusterSettings) -> int:
        assert cluster.scheduler is not None
        live = [one for one in self._round.ledger.live_submissions if SEARCH_JOB in one.jobs]
        most = cluster.scheduler.max_submitted
        if most is not None:
            wanted = min(wanted, max(1, most - _RESERVED_FOR_KEEPERS))
        return wanted - sum(map(count_open_tasks, live))

    def _create(self, token: str, array: TaskArray, tasks: int) -> None:
        launch = SearchLaunch.read(self._round.study)
        settings = {key: self._round.settings[key] for key in ("cluster", "failures")}
        folder, jobs = Path(launch.folder), [SEARCH_JOB] * tasks
        Submission.create(self._round.study, jobs, settings, folder, None, array, token, launch.snapshot)
        self._round.ledger.refresh()


def _make_array(this_round: AdvanceRound, cluster: ClusterSettings) -> TaskArray:
    """The array whose tasks can run each job of the search: they have the most of everything that one asks for."""
    jobs = list(this_round.ledger.plans.trial_jobs.values())
    asked = [job.resources for job in jobs]
    resources = Resources(
        cpus=max(one.cpus for one in asked),
        gpus=max(one.gpus for one in asked),
        memory_bytes=max(one.memory_bytes for one in asked),
        time_s=max(one.time_s for one in asked),
        extra=asked[-1].extra,
    )
    side_by_side = cluster.slots or (cluster.most_jobs_per_gpu if resources.gpus else 1)
    return TaskArray(jobs[0].stage, replace(resources, auto=()), 1, side_by_side)
