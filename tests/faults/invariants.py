"""What has to hold after every schedule, whatever went wrong in it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from faults.execution import Findings, Look
from faults.study import HEARTBEAT_S, JOBS, SILENT_S, STUDY, Note
from killed_processes import StoredResults, read_results

from seedfold.orchestrator.ledger.events import Event, EventReader
from seedfold.orchestrator.ledger.layout import StudyFolder

_SLACK_S = 1.5
"""A worker tells of a start, an end or a cancellation so much later, at most, on a machine that is not overloaded."""
_NAMES = re.compile(r"(?<=/)[0-9a-f]{2}(?=/)|[0-9a-f]{6,}|\d+")
_UNEXPECTED = re.compile(r"Traceback|this error is unexpected")


@dataclass(frozen=True)
class Undisturbed:
    """What an undisturbed run leaves: results, a table, and the kinds of its files."""

    results: StoredResults
    table: str
    file_kinds: frozenset[str]


def file_kinds(study: StudyFolder) -> dict[str, str]:
    """The files of a study with numbers and ids left out, each kind with one example; copies of code are one file."""
    found: dict[str, str] = {}
    for path in study.path.rglob("*"):
        name = str(path.relative_to(study.path))
        if not path.is_dir() and not name.startswith("code/snapshots/"):
            found[_NAMES.sub("#", name)] = name
    return found


def read_undisturbed(findings: Findings) -> Undisturbed:
    """What a run without faults has left."""
    study = StudyFolder(findings.project.study_folder)
    return Undisturbed(read_results(study), findings.table, frozenset(file_kinds(study)))


@dataclass
class Check:
    """Compares what a schedule has left with an undisturbed run."""

    findings: Findings
    undisturbed: Undisturbed
    excused: list[str] = field(default_factory=list)
    """What is not as it should be, and may be so, as documented."""

    @cached_property
    def study(self) -> StudyFolder:
        """The study's files."""
        return StudyFolder(self.findings.project.study_folder)

    @cached_property
    def events(self) -> list[Event]:
        """All events that can be read."""
        return list(EventReader(self.study.events_folder).read_new())

    @cached_property
    def notes(self) -> list[Note]:
        """All steps of jobs."""
        return self.findings.project.notes()

    def violations(self) -> list[str]:
        """A line for each invariant that does not hold."""
        checks = (self._results, self._done_once, self._failures, self._side_by_side, self._looks, self._commands,
                  self._stray_files, self._orphans)  # fmt: skip
        return [*self.findings.complaints, *(line for check in checks for line in check())]

    @property
    def _kind(self) -> str:
        return self.findings.schedule.kind

    @property
    def _silence_s(self) -> float:
        return max(self.findings.gaps.values(), default=0.0)

    def _may_be_doubled(self) -> bool:
        """Whether a worker was silent for so long that another host may have taken it for dead."""
        return len(self.findings.schedule.hosts) > 1 and self._silence_s > SILENT_S - 2 * HEARTBEAT_S

    # --- the invariants -----------------------------------------------------------------------------------------------

    def _results(self) -> Iterator[str]:
        if self.findings.cut_files:
            found = self._counting_results()
        else:
            folders = [folder.name.split(".")[0] for folder in self.study.path.glob("store/*/*")]
            doubled = sorted({job[:12] for job in folders if folders.count(job) > 1})
            if doubled:
                yield from self._excuse_double(f"more than one result of {', '.join(doubled)}")
                found = self._counting_results()
            else:
                found = read_results(self.study)
        if found != self.undisturbed.results:
            missing = sorted(job[:12] for job in self.undisturbed.results if job not in found)
            other = sorted(job[:12] for job in found if found[job] != self.undisturbed.results.get(job))
            yield f"results are not those of the undisturbed run: missing {missing}, different {other}"
        if self.findings.table != self.undisturbed.table:
            yield "the table of metrics is not that of the undisturbed run"

    def _counting_results(self) -> StoredResults:
        """The results that `done` events name last, where a job has several; the newest where its event was cut off."""
        recorded, published = Counter[str](), Counter[str]()
        for event in self.events:
            if event["e"] == "done":
                recorded[event["job"]] = max(recorded[event["job"]], event["n"])
        for folder in self.study.path.glob("store/*/*"):
            job, _, number = folder.name.partition(".")
            published[job] = max(published[job], int(number))
        counts = {**published, **recorded}
        found: StoredResults = {}
        for job, number in counts.items():
            found |= _read_one(self.study, job, number)
        return found

    def _done_once(self) -> Iterator[str]:
        attempts: dict[str, set[int]] = defaultdict(set)
        for event in self.events:
            if event["e"] == "done":
                attempts[event["job"]].add(event["n"])
        for job, numbers in attempts.items():
            if len(numbers) > 1 and not self.findings.cut_files:
                yield from self._excuse_double(f"{job[:12]} was done in the attempts {sorted(numbers)}")
        # A worker that was killed after it had published the last result has not recorded it: it counts all the same.
        published = {folder.name.split(".")[0] for folder in self.study.path.glob("store/*/*")}
        if len(published | attempts.keys()) < JOBS and not self.findings.cut_files:
            yield f"{len(published | attempts.keys())} of {JOBS} jobs were recorded as done"

    def _excuse_double(self, line: str) -> Iterator[str]:
        if self._may_be_doubled():
            self.excused.append(f"{line}; a worker was silent for {self._silence_s:.1f} s")
        else:
            yield line

    def _failures(self) -> Iterator[str]:
        allowed = {"node", "preempted"} | ALLOWED_FAILURES.get(self._kind, set())
        for event in self.events:
            if event["e"] == "failed" and event["kind"] not in allowed:
                yield f"{event['job'][:12]} failed in attempt {event['n']}, {event['kind']}: {event['reason']}"

    def _side_by_side(self) -> Iterator[str]:
        for job, spans in self._spans().items():
            for (pid, (_, end)), (other, (begin, _)) in pairwise(spans):
                if begin < end:
                    line = f"{job[:12]}: processes {pid} and {other} computed at the same time, for {end - begin:.2f} s"
                    yield from self._excuse_double(line)

    def _spans(self) -> dict[str, list[tuple[int, tuple[float, float]]]]:
        """Per job the processes that computed it, each with its first and last note, by their first."""
        spans: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
        for note in self.notes:
            first, _ = spans[note.job].get(note.pid, (note.t, note.t))
            spans[note.job][note.pid] = first, note.t
        return {job: sorted(found.items(), key=lambda one: one[1]) for job, found in spans.items()}

    def _looks(self) -> Iterator[str]:
        for look in self.findings.looks:
            late_s = _SLACK_S + max((host.keep_s or 0.0) for host in self.findings.schedule.hosts)
            for job, state in look.states.items():
                yield from self._check_state(look, job, state, late_s)

    def _check_state(self, look: Look, job: str, state: str, late_s: float) -> Iterator[str]:
        spans = [span for _, span in self._spans().get(job, [])]
        computing = any(first < look.began - late_s and last > look.ended for first, last in spans)
        near = any(first < look.ended + late_s and last > look.began - late_s for first, last in spans)
        if (
            computing
            and state not in {"running", "submitted"}
            and not (state == "cancelled" and self.findings.cancelled)
        ):
            yield from self._excuse_double(
                f"{look.host}: status calls {job[:12]} {state}, and it was computing all the time"
            )
        one_host = len(self.findings.schedule.hosts) == 1
        if one_host and state == "running" and not near and not self._lived(look, job):
            yield f"{look.host}: status calls {job[:12]} running, and no process of it lived"

    def _lived(self, look: Look, job: str) -> bool:
        return any(note.job == job and note.pid in look.pids_before for note in self.notes)

    def _commands(self) -> Iterator[str]:
        for command in self.findings.commands:
            complaint = command.complained()
            if _UNEXPECTED.search(complaint):
                yield f"{' '.join(command.args[:2])} on {command.host}: {complaint.strip()[-600:]}"
            elif command.code is not None and command.code > 0 and not _is_allowed(command.code, complaint):
                yield f"{command.args[0]} on {command.host} ended with {command.code}: {complaint.strip()[-300:]}"

    def _stray_files(self) -> Iterator[str]:
        for kind, example in file_kinds(self.study).items():
            if kind not in self.undisturbed.file_kinds and not any(re.fullmatch(one, kind) for one in ALLOWED_FILES):
                yield f"stray file {example}"

    def _orphans(self) -> Iterator[str]:
        for process in self.findings.orphans:
            yield f"{process.what} (process {process.pid}) was left behind on {process.host}"


def _is_allowed(code: int, complaint: str) -> bool:
    """Whether a command may end so: 2 only for a study, or a SLURM, that somebody else has not started yet.

    A slurmctld that was just started does not know its nodes, and refuses what needs one.
    """
    too_early = (
        f"no study '{STUDY}'",
        f"study '{STUDY}' has no jobs yet",
        "Requested node configuration is not available",
    )
    return code in {1, 3} or (code == 2 and any(text in complaint for text in too_early))


def _read_one(study: StudyFolder, job: str, number: int) -> dict[str, Any]:
    import json

    import pyarrow.parquet as pq

    folder = study.result_folder(job, number)
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    return {job: (metrics, [pq.read_table(file).to_pylist() for file in sorted(folder.glob("predictions.*"))])}


_TOO_EARLY = (
    f"no study '{STUDY}'", f"study '{STUDY}' has no jobs yet", "Requested node configuration is not available",
)  # fmt: skip
ALLOWED_FAILURES: dict[str, set[str]] = {"full": {"disk"}, "errors": {"disk"}}
"""Kinds of failures that a schedule may lead to, beside ``node`` and ``preempted``."""
ALLOWED_FILES = (
    r"(keepers|submissions)/.*",
    # What was being written when its writer was killed. `gc` removes it, or the program that wrote it.
    r"((?!(jobs|store|outputs)/).*/)?\.[^/]*\.#",
    r"jobs/.*/(records|staging\.#)/.*",
    r"jobs/.*/run/checkpoints/\.[^/]*",
    # A done job leaves no empty log, and an attempt that was killed does.
    r"jobs/.*/log\.#\.txt",
    # The name of the host stands in the names of these files.
    r"events/[^/]*\.jsonl",
)
"""Kinds of files that a disturbed run may leave beside those of an undisturbed one."""
