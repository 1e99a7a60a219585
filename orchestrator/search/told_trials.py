"""The trials of a search as its decisions have them, and what the results that came since make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from seedfold.orchestrator.ledger.search_decisions import RecordedDecision, Told
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.trial_results import OpenTrial


class ToldTrials:
    """The trials as the decisions have them; each call of `after` adds the decisions that are new."""

    def __init__(self) -> None:
        self._read = 0
        self._count = 0
        self._trials: dict[int, Trial] = {}
        self._hopeless: set[int] = set()
        self.jobs_of: dict[int, tuple[str, ...]] = {}
        self.last_decisions: dict[int, RecordedDecision] = {}
        """The decision of each trial that says how long it trains."""

    def after(self, records: Sequence[RecordedDecision]) -> ToldTrials:
        """Return these trials after all decisions."""
        for decision in records[self._read :]:
            for told in decision.told:
                if told.reason:
                    self._hopeless.add(told.trial)
                self._trials[told.trial], self._count = _with_result(self._trials, told, self._count), self._count + 1
            self._add(decision)
        self._read = len(records)
        return self

    def _add(self, decision: RecordedDecision) -> None:
        number = decision.trial
        if decision.kind == "start":
            state = "failed" if decision.reason else "running"
            self._trials[number] = Trial(number, decision.params, state, decision.rung, known=self._count)  # type: ignore[arg-type]
            self.jobs_of[number] = decision.jobs
        elif decision.kind == "prune":
            self._trials[number] = replace(self._trials[number], state="pruned")
            return
        else:
            trial = self._trials[number]
            retries = trial.retries + (decision.kind == "retry")
            has_jobs = bool(self.jobs_of[number])
            self._trials[number] = replace(
                trial, state="running" if has_jobs else "failed", rung=decision.rung, retries=retries
            )
        self.last_decisions[number] = decision

    def jobs_of_others(self, number: int) -> set[str]:
        """The jobs of all trials but one, without trials that were given up."""
        others = (other for other in self._trials if other != number and not self.is_given_up(other))
        return {job for other in others for job in self.jobs_of[other]}

    def is_given_up(self, number: int) -> bool:
        """Whether a trial was pruned."""
        return self._trials[number].state == "pruned"

    def open_trials(self) -> list[OpenTrial]:
        """The trials of which a result may come: those that run, and those that failed, if a person resumed them."""
        return [
            OpenTrial(number, self.jobs_of[number], self.last_decisions[number].epochs, trial.state)
            for number, trial in self._trials.items()
            if trial.state in {"running", "failed"} and self.jobs_of[number] and number not in self._hopeless
        ]

    def history(
        self, new_results: Sequence[Told], running: Mapping[int, Mapping[int, tuple[float, ...]]]
    ) -> list[Trial]:
        """Return all trials, with results that no decision names yet and values of those that run."""
        trials, count = dict(self._trials), self._count
        for told in new_results:
            trials[told.trial], count = _with_result(trials, told, count), count + 1
        for number, values in running.items():
            if trials[number].state == "running":
                trials[number] = replace(trials[number], values={**trials[number].values, **values})
        return [trials[number] for number in sorted(trials)]


def _with_result(trials: Mapping[int, Trial], told: Told, position: int) -> Trial:
    trial = trials[told.trial]
    values = {**trial.values, told.epochs: told.values} if told.values else trial.values
    return replace(trial, state=told.state, values=values, told=position)  # type: ignore[arg-type]
