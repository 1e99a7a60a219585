"""A search without jobs: what would be trained is computed, and its result is told when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from seedfold.orchestrator.search.decide import Decision, next_decision
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.settings.search import SearchSettings

Train = Callable[[Mapping[str, Any], int], float]
WHOLE = 27


class SimulatedSearch:
    """Keeps the history; ``train`` gives the value of a point after so many epochs, of which a whole training has 27.

    What ``train`` raises ValueError for has failed.
    """

    def __init__(self, settings: SearchSettings, train: Train) -> None:
        self.settings, self._train = settings, train
        self.trials: dict[int, Trial] = {}
        self.decisions: list[Decision] = []
        self._until: dict[int, int | None] = {}
        self._told = 0

    @property
    def history(self) -> list[Trial]:
        return list(self.trials.values())

    @property
    def running(self) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.state == "running"]

    def decide(self) -> Decision | None:
        """Take the next decision, if there is one."""
        decision = next_decision(self.settings, self.history)
        if decision is not None:
            self.decisions.append(decision)
            self._follow(decision)
        return decision

    def _follow(self, decision: Decision) -> None:
        if decision.kind == "prune":
            self.trials[decision.trial] = replace(self.trials[decision.trial], state="pruned")
            return
        self._until[decision.trial] = decision.epochs
        if decision.kind == "start":
            self.trials[decision.trial] = Trial(decision.trial, decision.params, known=self._told)
            return
        trial = self.trials[decision.trial]
        retries = trial.retries + (decision.kind == "retry")
        self.trials[decision.trial] = replace(trial, state="running", rung=decision.rung, retries=retries)

    def report(self, number: int, epochs: int) -> None:
        """Let a trial that runs have a value after so many epochs, while it goes on."""
        trial = self.trials[number]
        value = (self._train(trial.params, epochs),)
        self.trials[number] = replace(trial, values={**trial.values, epochs: value})

    def finish(self, number: int) -> None:
        """Let a trial that runs reach the end of its rung, or of its training."""
        trial, until = self.trials[number], self._until[number]
        try:
            value = (self._train(trial.params, until or WHOLE),)
        except ValueError:
            self.trials[number] = replace(trial, state="failed", told=self._told)
        else:
            values = {**trial.values, until or WHOLE: value}
            state = "paused" if until else "done"
            self.trials[number] = replace(trial, state=state, values=values, told=self._told)  # type: ignore[arg-type]
        self._told += 1

    def run(self, choose: Callable[[list[Trial]], Trial] = lambda running: running[0]) -> None:
        """Take all decisions that can be taken, and let one running trial finish, until neither is possible."""
        while True:
            while self.decide() is not None:
                pass
            if not self.running:
                return
            self.finish(choose(self.running).number)
