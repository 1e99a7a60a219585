"""The decisions of a search on disk: which trials begin, which go on to the next rung, and which are pruned.

``search/decisions/000123.json`` is created once, by any process. Whoever creates a decision has read all before it, so
that they have one order, and two who decide at the same moment make one decision. Each names the results that were
known: a search is read from these files and from the results that came after the last of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.damaged_files import naming_damaged_file, read_record
from seedfold.orchestrator.ledger.layout import StudyFolder

SEARCH_JOB = "search"
"""The name of a whole search where the ledger names jobs: in submissions of its workers, and when it is cancelled."""
PRUNED = "its search has given up the trial"
"""Why the jobs of a trial are cancelled that is pruned while they run or wait."""
DecisionKind = Literal["start", "promote", "prune", "retry"]
_KINDS = ("start", "promote", "prune", "retry")
_REMEDY = "restore it from a backup; without it nobody can tell what the search has decided"


@dataclass(frozen=True, slots=True)
class Told:
    """A result that became known: of a trial that is ``done``, ``paused`` or ``failed``.

    ``epochs`` is how many epochs it was trained, 0 for a training without epochs. ``values`` has a number for each
    metric, and none for a trial that failed, for a ``reason`` if that is none of its jobs'.
    """

    trial: int
    state: str
    epochs: int = 0
    values: tuple[float, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision: the ``trial`` with the ``params`` trains until ``epochs`` are over, or to its end with None.

    ``told`` are the results that became known since the decision before, in the order in which they came. ``jobs`` are
    the ids of the jobs of the trial. ``reason`` says why a trial has no jobs. ``time`` is in seconds since the epoch.
    """

    kind: DecisionKind
    trial: int
    params: Mapping[str, Any]
    rung: int = 0
    epochs: int | None = None
    told: tuple[Told, ...] = ()
    jobs: tuple[str, ...] = ()
    reason: str = ""
    time: float = 0.0

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> RecordedDecision:
        """Read the JSON form. Raises KeyError, TypeError or ValueError for anything else."""
        if record["kind"] not in _KINDS:
            raise ValueError(f"kind: {record['kind']!r:.40}")
        told = tuple(Told(**{**one, "values": tuple(map(float, one["values"]))}) for one in record["told"])
        return cls(**{**record, "params": dict(record["params"]), "told": told, "jobs": tuple(record["jobs"])})


def pruned_jobs(study: StudyFolder) -> set[str]:
    """The jobs of trials that a search has given up, and that no other trial has: their checkpoints are not needed."""
    pruned: dict[int, bool] = {}
    jobs: dict[int, tuple[str, ...]] = {}
    for decision in SearchDecisions(study).records:
        pruned[decision.trial] = decision.kind == "prune"
        jobs[decision.trial] = decision.jobs or jobs.get(decision.trial, ())
    kept = {job for trial, names in jobs.items() if not pruned[trial] for job in names}
    return {job for trial, names in jobs.items() if pruned[trial] for job in names} - kept


class SearchDecisions:
    """The decisions of a study's search; each `refresh` reads what is new."""

    def __init__(self, study: StudyFolder) -> None:
        self._folder = study.decisions_folder
        self.records: list[RecordedDecision] = []
        self.refresh()

    def refresh(self) -> bool:
        """Read decisions that are new; return whether there were any. Raises DamagedFileError."""
        before = len(self.records)
        while (decision := self._read(len(self.records))) is not None:
            self.records.append(decision)
        return len(self.records) > before

    def append(self, decision: RecordedDecision) -> bool:
        """Record a decision after all that were read; False if another process has made the next one meanwhile."""
        created = create_once(self._file(len(self.records)), json.dumps(asdict(decision)))
        self.refresh()
        return created

    def _read(self, number: int) -> RecordedDecision | None:
        file = self._file(number)
        try:
            with naming_damaged_file(file, _REMEDY):
                return RecordedDecision.from_dict(read_record(file, _REMEDY))
        except FileNotFoundError:
            return None

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"
