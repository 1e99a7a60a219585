"""A search of somebody's own program: ``hydra.sweeper.search`` says which space, and how many trials.

The process of the sweep decides what is tried next as soon as any job has ended, and starts its jobs like those of any
other sweep. Its decisions are on disk like those of other searches: the same command again goes on with them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.secret_values import refuse_secrets
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.cli.follow import InterruptHandler, print_outcome
from seedfold.orchestrator.dispatch.resume import STOPPED_STATES
from seedfold.orchestrator.dispatch.resumed_jobs import record_resumed
from seedfold.orchestrator.dispatch.submit import LaunchResult, choose_snapshots, submit_jobs
from seedfold.orchestrator.dispatch.wait import JobWatcher
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.ledger.search_decisions import PRUNED, SEARCH_JOB
from seedfold.orchestrator.ledger.submissions import PAUSE_AFTER
from seedfold.orchestrator.search.analysis import best_trial
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.search.trial_jobs import TrialJobs
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.settings.search_space import parse_space
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.state.launch_plan import PlannedJob
from seedfold.orchestrator.sweeps.request import SweepRequest

if TYPE_CHECKING:
    from seedfold.jobs.hydra_program import ProgramStudy

_INTERRUPTED_EXIT_CODE = 130
_NOT_BEGUN = frozenset({"waiting", "lost"})


def run_program_search(request: SweepRequest, arguments: Sequence[str]) -> None:
    """Run a search to its end. Exits with 130 if interrupted, with 1 if no trial has a value. Raises UsageError."""
    if not request.uses_seedfold_launcher:
        raise UsageError("hydra.sweeper.search: needs seedfold_local, seedfold_slurm or seedfold_lsf as launcher")
    sweep = _ProgramSearch(request, tuple(arguments))
    sweep.prepare()
    code = sweep.run()
    if code:
        sys.exit(code)


class _ProgramTrials(TrialJobs):
    """Composes the jobs of trials as the program's Hydra does."""

    def __init__(self, study: StudyFolder, request: SweepRequest, arguments: Sequence[str]) -> None:
        super().__init__(study)
        self._request, self._arguments = request, arguments

    def compose(self, params: Mapping[str, Any], number: int) -> list[JobDescription]:
        study = load_trial(self._request, self._arguments, params)
        # Hydra counts the jobs of all trials, and gives each the folder of its number.
        numbers = range(number * study.count, (number + 1) * study.count)
        return list(replace(study, _numbers_of_points=list(numbers)).jobs())


def load_trial(request: SweepRequest, arguments: Sequence[str], params: Mapping[str, Any]) -> ProgramStudy:
    """The sweep of a program with the values of a trial. Raises UsageError for a point that is not valid."""
    from omegaconf import OmegaConf

    from seedfold.jobs.axis_values import group_override
    from seedfold.jobs.hydra_program import load_sweep

    space = parse_space(OmegaConf.to_container(request.config.hydra.sweeper[SEARCH].space, resolve=True))
    points = [group_override(space[key].prefix, key, value) for key, value in params.items()]
    return load_sweep(request.make_sweep(), [*arguments, *points])


@dataclass(frozen=True)
class _ProgramSearch:
    request: SweepRequest
    arguments: tuple[str, ...]

    @cached_property
    def folder(self) -> StudyFolder:
        return self.request.root.study_folder(self.study.name)

    @cached_property
    def study(self) -> ProgramStudy:
        return load_trial(self.request, self.arguments, {})

    @cached_property
    def settings(self) -> dict[str, Any]:
        from omegaconf import OmegaConf

        from seedfold.jobs.compose import one_line_errors

        with one_line_errors():
            given: Any = OmegaConf.to_container(self.request.config.hydra.sweeper[SEARCH], resolve=True)
        found = SearchSettings.parse(given, needs_metric=False).with_axes(self.study.stages[0].axes)
        if found.stage is not None or found.axes_from is not None:
            raise UsageError("hydra.sweeper.search: a program has no stages; remove stage and axes_from")
        return {**self.study.settings, SEARCH: given}

    @cached_property
    def search(self) -> StudySearch:
        policies = RetryPolicies.parse(self.settings["failures"])
        states = JobStates(self.request.root, Ledger(self.folder), policies)
        return StudySearch(states, _ProgramTrials(self.folder, self.request, self.arguments))

    def prepare(self) -> None:
        """Write the settings of the search, and take up what was stopped if the launcher says so."""
        refuse_copy(self.folder)
        refuse_secrets(list(self.study.jobs()), self.settings, self.arguments, os.environ)
        self.request.root.mark_as_root()
        self.request.save_config()
        header = PlanHeader.create(self.arguments, (), self.settings, Path.cwd())
        before = Ledger(self.folder).plans.header
        if before is None or before.settings != header.settings:
            write_plan(self.folder, header, ())
        if self.request.get_flag("resume"):
            self._resume_stopped()

    def _resume_stopped(self) -> None:
        states, ledger = self.search.states, self.search.ledger
        found = {job: states.of(job) for job in ledger.plans.current_ids()}
        stopped = [job for job, one in found.items() if one.state in STOPPED_STATES and one.reason != PRUNED]
        record_resumed(self.folder, ledger, [*stopped, *([SEARCH_JOB] if self.search.is_cancelled else [])])
        states.refresh()

    def run(self) -> int:
        """Decide, start jobs and wait for one of them, again and again; return the exit code."""
        began, interrupts = time.monotonic(), InterruptHandler(self.folder)
        with interrupts.catch():
            while not interrupts.count:
                self._go_on()
                jobs = self.search.open_jobs()
                if not jobs or not self.request.get_flag("wait"):
                    break
                watcher = JobWatcher(self.request.root, self.folder, jobs)
                watcher.wait(lambda progress: interrupts.handle(), for_one=True)
            interrupts.handle()
            jobs = self.search.open_jobs()
            if interrupts.count and jobs:
                JobWatcher(self.request.root, self.folder, jobs).wait(lambda progress: interrupts.handle())
        return self._print_outcome(time.monotonic() - began, interrupts.count > 0)

    def _go_on(self) -> None:
        """Make all decisions that can be made now, and start the jobs that have not begun."""
        states = self.search.states
        states.refresh()
        while self.search.step():
            states.refresh()
        states.refresh()
        idle = [job for job in self.search.open_jobs() if states.of(job).state in _NOT_BEGUN]
        if idle:
            self._start(idle)
            states.refresh()

    def _start(self, jobs: Sequence[str]) -> None:
        ledger, states = self.search.ledger, self.search.states
        starting = [PlannedJob(ledger.plans.jobs[job], states.of(job), "waiting") for job in jobs]
        limits = {job: self.search.pause_after(job) for job in jobs}
        settings = {**self.settings, PAUSE_AFTER: {job: epochs for job, epochs in limits.items() if epochs is not None}}
        code = choose_snapshots(self.folder, ledger, starting, self.settings, Path.cwd())
        _, advanced = submit_jobs(self.request.root, self.folder, ledger, starting, settings, Path.cwd(), code)
        for problem in advanced.problems if advanced else ():
            print_text(problem, style="yellow")

    def _print_outcome(self, seconds: float, interrupted: bool) -> int:
        self.search.states.refresh()
        jobs = tuple(self.search.ledger.plans.current_ids())
        launched = LaunchResult(self.folder, jobs, (), (), is_search=True)
        progress = JobWatcher(self.request.root, self.folder, jobs).poll()
        code = print_outcome(self.request.root, launched, progress, seconds, interrupted)
        self._save_best()
        return code

    def _save_best(self) -> None:
        """Write ``optimization_results.yaml``, as Optuna's sweeper does."""
        from omegaconf import OmegaConf

        best = best_trial(self.search.settings, self.search.history())
        if best is not None:
            values = list(best.value or ())
            found = {"name": "seedfold", "best_params": dict(best.params), "best_value": values[0]}
            found |= {} if len(values) == 1 else {"best_values": values}
            OmegaConf.save(OmegaConf.create(found), self.request.sweep_folder / "optimization_results.yaml")
