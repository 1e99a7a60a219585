"""Optuna's search with the next trial asked for as soon as any has ended.

Optuna's own sweeper asks for ``n_jobs`` trials, waits for all of them, and then asks for the next ones. While the
slowest trial runs, the places of the others are empty. Here ``n_jobs`` is how many trials run at a time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli.follow import InterruptHandler, print_outcome
from seedfold.orchestrator.dispatch.wait import JobWatcher
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobStates
from seedfold.orchestrator.sweeps.expanded_points import PointsOfSweeper, StartedPoints
from seedfold.orchestrator.sweeps.optuna_search import OptunaSearch
from seedfold.orchestrator.sweeps.request import SweepRequest
from seedfold.orchestrator.sweeps.returns import read_job_returns
from seedfold.orchestrator.sweeps.sweep import exit_on_errors

_GIVEN_UP_STATES = ("failed", "blocked", "cancelled")


def run_optuna_sweep(request: SweepRequest, settings: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Run a search. Exits with 2 for bad input, with 130 if interrupted.

    Raises the error of a job if more trials fail than ``max_failure_rate`` allows.
    """
    with exit_on_errors():
        if not request.uses_seedfold_launcher:
            raise UsageError("hydra/sweeper: seedfold_optuna needs seedfold_local, seedfold_slurm or seedfold_lsf")
        points = PointsOfSweeper(request)
        points.check(needs_returns=True)
        search = OptunaSearch(request.config, settings, arguments)
        if not search.has_memory():
            for params in list(_known_points(request, search))[: search.n_trials]:
                search.enqueue(params)
        _OptunaSweep(points, search).run()
        search.save_results(request.sweep_folder)


def _known_points(request: SweepRequest, search: OptunaSearch) -> Iterator[dict[str, Any]]:
    """The points that earlier calls of the same search have asked for, in their order, but not those given up."""
    root = request.root
    ledger = Ledger(root.study_folder(request.config.hydra.job.name))
    if ledger.plans.header is None:
        return
    states = JobStates(root, ledger, RetryPolicies.parse(ledger.plans.header.settings["failures"]))
    jobs = [job for job in ledger.plans.current_jobs.values() if "hydra" in job.config]
    for job in sorted(jobs, key=lambda job: int(job.config["hydra"]["num"])):
        params = search.params_of(job.axes)
        if params and (request.get_flag("resume") or states.of(job.id).state not in _GIVEN_UP_STATES):
            yield params


class _OptunaSweep:
    """The trials of a search: those that run, with their jobs, and how many have failed."""

    def __init__(self, points: PointsOfSweeper, search: OptunaSearch) -> None:
        self._points, self._search = points, search
        self._started: list[StartedPoints] = []
        self._running: list[tuple[Any, JobDescription]] = []
        self._failures: list[Exception] = []
        self._started_at = time.monotonic()

    def run(self) -> None:
        """Run all trials."""
        left = self._search.n_trials
        while left or self._running:
            count = min(left, self._search.n_jobs - len(self._running))
            if count:
                self._start(count)
                left -= count
            self._wait_for_one()
            self._tell_ended()
            if self._search.fails_with(len(self._failures)):
                left = 0
        self._print_outcome(interrupted=False)
        if self._search.fails_with(len(self._failures)):
            raise self._failures[0]

    def _start(self, count: int) -> None:
        number = sum(len(started.jobs) for started in self._started)
        trials = self._search.ask(count)
        started = self._points.start([point for _, point in trials], number)
        self._started.append(started)
        self._running += [(trial, job) for (trial, _), job in zip(trials, started.jobs, strict=True)]

    def _wait_for_one(self) -> None:
        """Wait until one of the running trials has ended. Exits with 130 after Ctrl-C, when all have ended."""
        watcher, interrupts = self._watch(), InterruptHandler(self._started[-1].launches[-1].study)
        with interrupts.catch():
            watcher.wait(lambda progress: interrupts.handle(), for_one=True)
            interrupts.handle()
            if interrupts.count:
                watcher.wait(lambda progress: interrupts.handle())
        if interrupts.count:
            sys.exit(self._print_outcome(interrupted=True))
        self._states = watcher.states

    def _watch(self) -> JobWatcher:
        started = self._started[-1]
        return JobWatcher(started.root, started.launches[-1].study, tuple({job.id: None for _, job in self._running}))

    def _tell_ended(self) -> None:
        """Tell the search what the jobs returned that have ended."""
        started = self._started[-1]
        ended = [(trial, job) for trial, job in self._running if self._states.of(job.id).state not in ACTIVE_STATES]
        self._running = [one for one in self._running if one not in ended]
        returns = read_job_returns(started.root, started.launches[-1].study, [job for _, job in ended])
        for (trial, _), job_return in zip(ended, returns, strict=True):
            error = self._search.tell(trial, job_return)
            self._failures += [error] if error else []

    def _print_outcome(self, interrupted: bool) -> int:
        """Print the outcome of all trials; return the exit code."""
        root, launches = self._started[-1].root, [one.as_one_launch() for one in self._started]
        whole = replace(
            launches[-1],
            jobs=tuple(dict.fromkeys(job for launched in launches for job in launched.jobs)),
            submissions=tuple(one for launched in launches for one in launched.submissions),
        )
        progress = JobWatcher(root, whole.study, whole.jobs).poll()
        return print_outcome(root, whole, progress, time.monotonic() - self._started_at, interrupted)
