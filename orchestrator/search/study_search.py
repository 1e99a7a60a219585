"""The search of a study as its files have it: the decisions so far, and the results that came since.

Whoever looks can go on with the search: `StudySearch.step` makes the next decision, and does what decisions before ask
for, if the process that made them was killed before it could. Every step may be repeated, by several processes at once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.events import EventWriter, time_after
from seedfold.orchestrator.ledger.search_decisions import PRUNED, SEARCH_JOB, RecordedDecision, SearchDecisions, Told
from seedfold.orchestrator.search.decide import Decision, is_over, next_decision
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.job_fates import JobFates, own_jobs, ranked_jobs
from seedfold.orchestrator.search.optuna_trials import load_optuna
from seedfold.orchestrator.search.told_trials import ToldTrials
from seedfold.orchestrator.search.trial_jobs import ChangedStudyError, TrialJobs, decision_time
from seedfold.orchestrator.search.trial_results import ended_trials, running_values
from seedfold.orchestrator.search.warm_start import read_warm_trials
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobStates
from seedfold.orchestrator.state.learned_resources import UsageHistory

_PLANNING_S = 5.0
"""So long after a decision its own process is believed to be writing the plan of its jobs."""


class StudySearch:
    """The search of one study; ``states`` are those of its jobs, and are refreshed by the caller."""

    def __init__(self, states: JobStates, jobs: TrialJobs | None = None) -> None:
        """``jobs`` composes the jobs of trials, by default as the study was launched."""
        self.states, self.ledger = states, states.ledger
        self.decisions = SearchDecisions(self.ledger.study)
        self._jobs = jobs or TrialJobs(self.ledger.study)
        self._raw: Mapping[str, Any] | None = None
        self._settings: SearchSettings
        self._carried_out = 0
        self._warm: list[Trial] | None = None
        self._told = ToldTrials()

    @property
    def settings(self) -> SearchSettings:
        """The settings of the last launch."""
        header = self.ledger.plans.header
        assert header is not None
        raw = header.settings[SEARCH_JOB]
        if raw is not self._raw:
            # The launch has asked for a metric where one is needed.
            self._raw, self._settings = raw, SearchSettings.parse(raw, needs_metric=False)
        return self._settings

    # --- what is known --------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read decisions that are new."""
        self.decisions.refresh()

    @property
    def is_cancelled(self) -> bool:
        """Whether a person has cancelled the search, and nobody has resumed it since."""
        return self.ledger.record_of(SEARCH_JOB).is_cancelled

    def pause_after(self, job: str) -> int | None:
        """The epochs after which a job is to be paused; None if it trains to its end."""
        if self.ledger.record_of(job).trains_to_end:
            return None
        found = [epochs for jobs, epochs in self._targets() if job in jobs and self._is_ranked(job, jobs)]
        return None if not found or None in found else max(epochs for epochs in found if epochs is not None)

    def _targets(self) -> Iterator[tuple[tuple[str, ...], int | None]]:
        for trial, decision in self._told.after(self.decisions.records).last_decisions.items():
            yield self._told.jobs_of[trial], decision.epochs

    def _is_ranked(self, job: str, jobs: Sequence[str]) -> bool:
        return any(one.id == job for one in ranked_jobs(self._described(jobs), self.settings))

    def _described(self, jobs: Iterable[str]) -> list[JobDescription]:
        """The jobs that have been planned: another process may just be planning those of its decision."""
        return [one for one in map(self.states.job, jobs) if one is not None]

    def history(self) -> list[Trial]:
        """All trials with what is known of them now, in the order of their numbers; first those of a warm start."""
        return self._history(self._new_results())

    def _history(self, new_results: Sequence[Told]) -> list[Trial]:
        if self._warm is None:
            self._warm = read_warm_trials(self.states, self.settings) if self.settings.warm_start else []
        told = self._told.after(self.decisions.records)
        return [*self._warm, *told.history(new_results, self._values_of_running())]

    def failure_reasons(self) -> list[str]:
        """Why trials failed that have no failed job: each reason once, in the order in which they became known."""
        told = [one for decision in self.decisions.records for one in decision.told]
        reasons = [decision.reason for decision in self.decisions.records]
        return list(dict.fromkeys(filter(None, [*reasons, *(one.reason for one in [*told, *self._new_results()])])))

    def _new_results(self) -> list[Told]:
        """The results that came after the last decision, in their order."""
        told = self._told.after(self.decisions.records)
        return ended_trials(told.open_trials(), self.states, self.settings, is_cancelled=self.is_cancelled)

    def _values_of_running(self) -> Mapping[int, Mapping[int, tuple[float, ...]]]:
        if self.settings.prune is None:
            return {}
        return running_values(self._told.after(self.decisions.records).open_trials(), self.states, self.settings)

    def open_jobs(self) -> list[str]:
        """The jobs that run, or that will without another decision."""
        return list(dict.fromkeys(job for jobs in self._open_jobs_of_trials() for job in jobs))

    def _open_jobs_of_trials(self) -> list[list[str]]:
        fates, trials = JobFates(self.states), self._told.after(self.decisions.records).open_trials()
        return [[job for job in trial.jobs if fates.of(job) == "open"] for trial in trials]

    def count_places(self) -> int:
        """How many jobs may run at a time without another decision: those of a trial run stage by stage."""
        return sum(max(self._count_by_stage(jobs).values(), default=0) for jobs in self._open_jobs_of_trials())

    def _count_by_stage(self, jobs: Iterable[str]) -> Counter[str]:
        return Counter("" if job is None else job.stage for job in map(self.states.job, jobs))

    def planned_open_jobs(self) -> list[JobDescription]:
        """The open jobs, as far as their plans have been read."""
        return self._described(self.open_jobs())

    def memory_of(self, job: JobDescription) -> int:
        """How much memory, in bytes, the next attempt of a job needs: more after it had too little."""
        failures = self.ledger.record_of(job.id).failures()
        return self.states.policies.memory_after(job.resources.memory_bytes, failures)

    def is_ready(self, job: str) -> bool:
        """Whether a worker may start a job: none has begun it, and its parents are done."""
        return self.states.of(job).state == "submitted" and JobFates(self.states).is_ready(self.ledger.plans.jobs[job])

    def _has_lost_a_common_job(self) -> bool:
        """Whether a job that all trials have has failed, so that every trial would."""
        fates = JobFates(self.states)
        for trial in self._told.after(self.decisions.records).open_trials():
            failed = [job for job in trial.jobs if fates.of(job) == "failed"]
            own = {job.id for job in own_jobs(self._described(trial.jobs), self.settings)} if failed else ()
            if any(job not in own for job in failed):
                return True
        return False

    def is_over(self) -> bool:
        """Whether nothing is left to do: no trial runs, and none will begin or go on, or a person has cancelled it."""
        if self.is_cancelled:
            return True
        if self.open_jobs():
            return False
        return self.is_budget_used() or self._has_lost_a_common_job() or is_over(self.settings, self.history())

    def is_budget_used(self) -> bool:
        """Whether the hours of the search are used up."""
        budget, records = self.settings.budget, self.decisions.records
        if budget.wall_s is not None and records and time.time() - records[0].time > budget.wall_s:
            return True
        return budget.job_s is not None and self._used_s() >= budget.job_s

    def _used_s(self) -> float:
        """Seconds that jobs of the search have run, those of other studies not counted."""
        now, used = time.time(), 0.0
        for job in dict.fromkeys(job for jobs in self._told.jobs_of.values() for job in jobs):
            record = self.ledger.record_of(job)
            for number, start in record.start_events.items():
                end = record.last_events[number]
                is_running = end["e"] == "started" and number == record.latest_attempt
                used += max(0.0, (now if is_running else end["t"]) - start["t"])
        return used

    # --- what is done ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Do what every decision begins with: import the sampler, in a thread, and compose what trials have in common.

        Whoever calls this while jobs run decides faster when one of them has ended. Raises as `step`.
        """
        if len(self._told.after(self.decisions.records).jobs_of) < self.settings.trials:
            if self.settings.sampler != "grid":
                # It takes seconds, in which the caller has to hear of its jobs. Whoever decides meanwhile waits for it.
                Thread(target=_import_sampler).start()
            self._jobs.prepare()

    def step(self) -> bool:
        """Make the next decision and carry it out; False if there is none before another result is known.

        There is none either while ``search.parallel`` jobs are open. Raises ChangedStudyError.
        """
        self.refresh()
        self.carry_out()
        if self.is_cancelled or self.is_budget_used() or self._has_lost_a_common_job():
            return False
        new_results = self._new_results()
        history = self._history(new_results)
        is_full = self.count_places() >= self.settings.parallel
        places = 0 if is_full else len(history) + 1
        decision = next_decision(replace(self.settings, parallel=places), history)
        if decision is None:
            return False
        jobs, reason = self._compose(decision)
        self.decisions.append(
            RecordedDecision(
                kind=decision.kind,
                trial=decision.trial,
                params=dict(decision.params),
                rung=decision.rung,
                epochs=decision.epochs,
                told=tuple(new_results),
                jobs=tuple(dict.fromkeys(job.id for job in jobs)),
                reason=reason,
                time=decision_time(),
            )
        )
        self.carry_out({decision.trial: jobs})
        return True

    def _compose(self, decision: Decision) -> tuple[Sequence[JobDescription], str]:
        """The jobs of a trial that begins, or why it cannot have any."""
        if decision.kind != "start":
            return (), ""
        try:
            jobs = self._jobs.compose(decision.params, decision.trial)
        except ChangedStudyError:
            raise
        except UsageError as error:
            return (), str(error)
        if any(job.resources.auto for job in jobs):
            jobs = UsageHistory(self.states).with_learned_resources(jobs)
        return jobs, ""

    def carry_out(self, composed: Mapping[int, Sequence[JobDescription]] | None = None) -> None:
        """Do what decisions ask for, as far as it has not been done; ``composed`` has jobs that are known already."""
        records = self.decisions.records
        told = self._told.after(records)
        # Those of trials that run are looked at again: what they ask for may have been hidden from this process.
        running = [told.last_decisions[trial.number] for trial in told.open_trials() if trial.state == "running"]
        for decision in {id(one): one for one in (*records[self._carried_out :], *running)}.values():
            self._carry_out(decision, composed or {})
        self._carried_out = len(records)

    def _carry_out(self, decision: RecordedDecision, composed: Mapping[int, Sequence[JobDescription]]) -> None:
        jobs = self._told.after(self.decisions.records).jobs_of[decision.trial]
        if not self._told.is_given_up(decision.trial):
            # Another trial that was given up may have had them as well.
            self._record("resumed", [job for job in jobs if self.states.of(job).reason == PRUNED])
        if decision.kind == "start":
            known = composed.get(decision.trial, ())
            is_left = known or abs(time.time() - decision.time) > _PLANNING_S
            if is_left and not all(job in self.ledger.plans.jobs for job in jobs):
                self._plan(decision, known if {job.id for job in known} == set(jobs) else ())
        elif decision.kind == "promote":
            self._record("promoted", [job for job in jobs if self._is_before(job, decision)])
        elif decision.kind == "prune":
            self._record("cancelled", self._jobs_to_stop(decision.trial, jobs), reason=PRUNED)
        else:
            fates = JobFates(self.states)
            failed = [job for job in jobs if self.states.of(job).state == "failed" and fates.of(job) == "failed"]
            # Once: they may have failed again since.
            waiting = [job for job in failed if self.ledger.record_of(job).resumed_at < decision.time]
            self._record("resumed", waiting if self._is_last(decision) else [])

    def _jobs_to_stop(self, trial: int, jobs: Sequence[str]) -> list[str]:
        """The jobs of a trial that is given up which may run, and which neither a person nor another trial wants."""
        open_states = {*ACTIVE_STATES, "waiting", "lost"}
        found = [job for job in jobs if self.states.of(job).state in open_states]
        others = self._told.jobs_of_others(trial) if found else ()
        return [job for job in found if job not in others and not self.ledger.record_of(job).trains_to_end]

    def _plan(self, decision: RecordedDecision, jobs: Sequence[JobDescription]) -> None:
        header = self.ledger.plans.header
        assert header is not None
        self._jobs.plan(header, decision, jobs or self._jobs.compose(decision.params, decision.trial))
        # What was known of other jobs may be old now: a worker would begin those again that have ended since.
        self.states.refresh()

    def _is_before(self, job: str, decision: RecordedDecision) -> bool:
        """Whether a job is paused at a rung before the one that a decision sends it to."""
        record = self.ledger.record_of(job)
        if not record.is_paused or record.latest_event is None:
            return False
        return decision.epochs is None or int(record.latest_event["epochs"]) < decision.epochs

    def _is_last(self, decision: RecordedDecision) -> bool:
        return self._told.after(self.decisions.records).last_decisions[decision.trial] is decision

    def _record(self, kind: str, jobs: Sequence[str], **details: str) -> None:
        if not jobs:
            return
        attempts = {job: self.ledger.record_of(job).latest_attempt for job in jobs}
        records = [self.ledger.record_of(job) for job in jobs]
        writer = EventWriter(self.ledger.study.events_folder)
        now = time_after(max(one.cancelled_at, one.resumed_at) for one in records)
        writer.append(kind, t=now, jobs=attempts, **details)
        writer.close()
        self.states.refresh()


def _import_sampler() -> None:
    # That it is missing is told by who needs it.
    with suppress(UsageError):
        load_optuna()
