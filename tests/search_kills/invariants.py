"""What has to hold after a search that was killed again and again."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from faults.invariants import ALLOWED_FILES, file_kinds
from search_kills.study import EPOCHS, ETA, STUDY, Project, score
from simulated_search import SimulatedSearch

from seedfold.orchestrator.ledger.events import Event, EventReader
from seedfold.orchestrator.ledger.search_decisions import RecordedDecision
from seedfold.orchestrator.search.decide import next_decision
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.search.told_trials import ToldTrials

_FILES = (
    *ALLOWED_FILES,
    *(r"search/(decisions/#|launch)\.json", r"search/conf/.*", r"search/((decisions|conf)/)?\.[^/]*"),
    *(r"(store|cache|turns|plans|claims|code)/.*", r"jobs/.*/(epoch\.(txt|new)|log\.#\.txt|run/.*)", r"[^/]*"),
)
_UNEXPECTED = re.compile(r"Traceback|this error is unexpected")


@dataclass
class Check:
    """Looks at what a search has left; ``kills`` is how many there were, ``trouble`` what was seen meanwhile."""

    project: Project
    kills: int
    trouble: Sequence[str] = field(default_factory=list)

    @cached_property
    def search(self) -> StudySearch:
        """The search as it is in the end."""
        return self.project.search()

    @cached_property
    def decisions(self) -> list[RecordedDecision]:
        """All decisions, in their order."""
        return self.search.decisions.records

    @cached_property
    def events(self) -> list[Event]:
        """All events."""
        return list(EventReader(self.project.toy.study(STUDY).events_folder).read_new())

    @cached_property
    def notes(self) -> list[dict[str, Any]]:
        """Every epoch that was trained."""
        return [json.loads(line) for line in self.project.notes()]

    def violations(self) -> list[str]:
        """A line for each invariant that does not hold."""
        checks = (self._starts, self._follow_from_history, self._asha, self._ends, self._trained, self._side_by_side,
                  self._done_once, self._commands, self._stray_files)  # fmt: skip
        return [*self.trouble, *(line for check in checks for line in check())]

    def _starts(self) -> Iterator[str]:
        """The trials are those of a search that nobody has disturbed, each begun once."""
        undisturbed = SimulatedSearch(self.search.settings, lambda params, epochs: score(params["x"], epochs))
        undisturbed.run()
        expected = [dict(trial.params) for trial in sorted(undisturbed.history, key=lambda one: one.number)]
        started = [one for one in self.decisions if one.kind == "start"]
        if [one.trial for one in started] != list(range(self.project.trials)):
            yield f"trials that began: {[one.trial for one in started]}"
        if [dict(one.params) for one in started] != expected:
            yield "the points of the trials are not those of an undisturbed search"
        own = Counter(job for one in started for job in one.jobs[1:])
        common = {one.jobs[0] for one in started}
        if any(len(one.jobs) != 3 for one in started) or len(common) > 1 or max(own.values()) > 1:
            yield "a trial lacks a job, or has one of another trial, or one of its own before the training"

    def _follow_from_history(self) -> Iterator[str]:
        """Each decision is the one that follows from what was known, and no result is told twice."""
        for number, decision in enumerate(self.decisions):
            history = ToldTrials().after(self.decisions[:number]).history(decision.told, {})
            expected = next_decision(replace(self.search.settings, parallel=len(history) + 1), history)
            found = (decision.kind, decision.trial, dict(decision.params), decision.rung, decision.epochs)
            if expected is None or found != (
                *(expected.kind, expected.trial, dict(expected.params)),
                *(expected.rung, expected.epochs),
            ):
                yield f"decision {number} is {found}, and from its history follows {expected}"
        told = Counter((one.trial, one.epochs) for decision in self.decisions for one in decision.told)
        yield from (f"result {one} was told {count} times" for one, count in told.items() if count > 1)

    def _asha(self) -> Iterator[str]:
        """A promoted trial was among the best of its rung; the values that were told are those that jobs have."""
        standing: dict[int, dict[int, float]] = defaultdict(dict)
        for number, decision in enumerate(self.decisions):
            for told in decision.told:
                params = next(one.params for one in self.decisions if one.trial == told.trial)
                if told.state == "failed" or told.values != (score(params["x"], told.epochs),):
                    yield f"decision {number} was told {told}"
                standing[told.epochs][told.trial] = told.values[0] if told.values else 0.0
            if decision.kind == "promote":
                rung = standing[ETA ** (decision.rung - 1)]
                better = sum(value > rung[decision.trial] for value in rung.values())
                if better >= max(1, len(rung) // ETA):
                    yield f"decision {number} promotes trial {decision.trial}: {better} of {len(rung)} are better"
        promoted = Counter((one.trial, one.rung) for one in self.decisions if one.kind in {"promote", "prune"})
        yield from (f"{one} was decided {count} times" for one, count in promoted.items() if count > 2)

    def _ends(self) -> Iterator[str]:
        states = Counter(trial.state for trial in self.search.history())
        if states.keys() - {"done", "pruned"} or not states["done"] or sum(states.values()) != self.project.trials:
            yield f"trials ended so: {dict(states)}"
        if next_decision(self.search.settings, self.search.history()) is not None:
            yield "there is a decision left"

    @cached_property
    def _jobs(self) -> dict[int, tuple[str, ...]]:
        """The jobs of each trial: one of each stage, in their order."""
        return {one.trial: one.jobs for one in self.decisions if one.kind == "start" and one.jobs}

    @cached_property
    def _last(self) -> dict[str, int]:
        """How long each job had to be trained."""
        jobs = {trial: jobs[1] for trial, jobs in self._jobs.items()}
        return {jobs[one.trial]: one.epochs or EPOCHS for one in self.decisions if one.kind != "prune"}

    def _trained(self) -> Iterator[str]:
        """Each job was trained for as long as the decisions say; what a kill has taken was trained again."""
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        for note in self.notes:
            counts[note["job"]][note["epoch"]] += 1
        for job, last in self._last.items():
            if sorted(counts[job]) != list(range(1, last + 1)):
                yield f"{job[:12]}: epochs {sorted(counts[job])} were trained, and {last} were decided"
        if counts.keys() - self._last.keys():
            yield f"jobs that nobody decided were trained: {counts.keys() - self._last.keys()}"
        again = sum(count - 1 for of_job in counts.values() for count in of_job.values())
        if again > self.kills * self.project.parallel:
            yield f"{again} epochs were trained again after {self.kills} kills"

    def _side_by_side(self) -> Iterator[str]:
        spans: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
        for note in self.notes:
            first, _ = spans[note["job"]].get(note["pid"], (note["began"], 0.0))
            spans[note["job"]][note["pid"]] = first, note["ended"]
        for job, found in spans.items():
            for (_, end), (begin, _) in pairwise(sorted(found.values())):
                if begin < end:
                    yield f"{job[:12]} was computed by two processes at the same time, for {end - begin:.3f} s"

    def _done_once(self) -> Iterator[str]:
        # A worker may record a result again that another one was about to record.
        attempts = {(event["job"], event["n"]) for event in self.events if event["e"] == "done"}
        done = Counter(job for job, _ in attempts)
        trained = {job for job, epochs in self._last.items() if epochs == EPOCHS}
        whole = {job for jobs in self._jobs.values() if jobs[1] in trained for job in jobs}
        yield from (f"{job[:12]} was done {count} times" for job, count in done.items() if count > 1)
        # Who was killed after it had published a result has not recorded it: it counts all the same.
        published = [path.name.partition(".")[0] for path in self.project.toy.study(STUDY).path.glob("store/*/*")]
        if set(published) != whole or len(published) != len(whole) or done.keys() - whole:
            yield f"{len(published)} results, {len(done)} recorded; {len(whole)} jobs were to be trained to their end"
        for event in self.events:
            if event["e"] == "failed" and event["kind"] not in {"node", "preempted"}:
                yield f"{event['job'][:12]} failed: {event['kind']}, {event['reason']}"
        states = Counter(self.search.states.of(job).state for jobs in self._jobs.values() for job in jobs[1:])
        states["done"] += 1
        if states.keys() - {"done", "paused", "cancelled"} or states["done"] != len(whole):
            yield f"jobs stand so: {dict(states)}"

    def _commands(self) -> Iterator[str]:
        for file in sorted((self.project.toy.folder / "commands").iterdir()):
            if _UNEXPECTED.search(file.read_text()):
                yield f"{file.name}: {file.read_text().strip()[-900:]}"

    def _stray_files(self) -> Iterator[str]:
        for kind, example in file_kinds(self.project.toy.study(STUDY)).items():
            if not any(re.fullmatch(one, kind) for one in _FILES):
                yield f"stray file {example}"
