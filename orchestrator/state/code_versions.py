"""Which finished jobs were computed by the same code: what must not be averaged is told apart here.

A result depends on the code that computed it, on that which trained its weights, and on that of its parents' results.
Files that are the same in all results of a study tell nothing apart. Of the others, results go together whose files
agree where both have them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.code.comparison import CodeComparison, CodeKey
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.state.job_states import JobStates

NOW = "now"
OLD = "old"
UNKNOWN = "unknown"
"""Of predictions that were imported without a word about the code that made them."""
_Versions = frozenset[int]
_CURRENT = 0


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """A result: its job, the study that holds it, and what was told of it."""

    job: JobDescription
    study: StudyFolder
    event: Event

    @property
    def code(self) -> CodeKey:
        """The code that computed it."""
        return CodeKey(self.study, self.event["code"], self.job.run)


class CodeVersions:
    """The versions of the code that computed some results, by short names.

    ``files`` are the names of those files in which they differ.
    """

    def __init__(self, comparison: CodeComparison, states: JobStates, attempts: Iterable[FinishedAttempt]) -> None:
        self._comparison = comparison
        self._states = states
        self._keys: dict[tuple[str, int], frozenset[CodeKey]] = {}
        self._own: dict[CodeKey, frozenset[CodeKey]] = {}
        ordered = sorted(attempts, key=lambda attempt: attempt.event["t"])
        keys = [self._code_of(attempt) for attempt in ordered]
        versions, self.files = _number_versions(comparison, list(dict.fromkeys(key for found in keys for key in found)))
        sets = [frozenset(versions[key] for key in found) for found in keys]
        self._names = _name_sets(sets)
        self._versions = {attempt.job.id: found for attempt, found in zip(ordered, sets, strict=True)}

    def name_of(self, job_id: str) -> str:
        """Return ``now``, ``old``, or ``old-1`` for the oldest of several, or ``unknown``."""
        return self._names[self._versions.get(job_id, frozenset())]

    def has_mixed_parents(self, job: JobDescription, starting: Collection[str]) -> bool:
        """Whether parents of one stage will come from several versions once those ``starting`` are done."""
        stages: dict[str, set[_Versions]] = {}
        for parent in self._states.needed_parents(job):
            stages.setdefault(self._states.stage_of(parent), set()).add(self._versions_then(parent, starting))
        return any(len(versions - {frozenset()}) > 1 for versions in stages.values())

    def _versions_then(self, job_id: str, starting: Collection[str]) -> _Versions:
        if job_id in self._versions and job_id not in starting:
            return self._versions[job_id]
        job = self._states.job(job_id)
        parents = () if job is None else job.parents
        return frozenset({_CURRENT}).union(*(self._versions_then(parent, starting) for parent in parents))

    def _code_of(self, attempt: FinishedAttempt) -> frozenset[CodeKey]:
        """The code that a result depends on, that of its parents as well."""
        place = (attempt.job.id, int(attempt.event.get("n", 0)))
        if place not in self._keys:
            own = self._own_code(attempt.code)
            parents = filter(None, (self._parent(*parent) for parent in attempt.event["parents"].items()))
            self._keys[place] = own.union(*(self._code_of(parent) for parent in parents))
        return self._keys[place]

    def _own_code(self, code: CodeKey) -> frozenset[CodeKey]:
        if code not in self._own:
            keys = (code, self._comparison.trained(code))
            self._own[code] = frozenset(key for key in keys if key and self._comparison.record(key))
        return self._own[code]

    def _parent(self, job_id: str, number: int) -> FinishedAttempt | None:
        job = self._states.job(job_id)
        state = self._states.of(job_id)
        event = self._states.ledger.record_of(job_id).last_events.get(number) or state.event
        if job is None or event is None or "code" not in event:
            return None
        return FinishedAttempt(job, state.holding_study, event)


def _number_versions(comparison: CodeComparison, keys: Sequence[CodeKey]) -> tuple[dict[CodeKey, int], tuple[str, ...]]:
    """Return the number of each key's version, 0 for that of today, and the names of the files that tell them apart."""
    for key in keys:
        comparison.record(key)  # what any record says of a file holds for all
    now = comparison.current_digests({name for key in keys for name in comparison.digests(key)})
    then = {key: comparison.digests(key) for key in keys}
    seen: dict[str, set[str]] = {}
    for files in [*then.values(), now]:
        for name, digest in files.items():
            seen.setdefault(name, set()).add(digest)
    differing = {name for name, digests in seen.items() if len(digests) > 1}
    versions = [{name: digest for name, digest in now.items() if name in differing}]
    numbers: dict[CodeKey, int] = {}
    for key, files in then.items():
        part = {name: digest for name, digest in files.items() if name in differing}
        if all(versions[_CURRENT].get(name) == digest for name, digest in part.items()):
            numbers[key] = _CURRENT
        else:
            numbers[key] = _find_version(versions, part)
    return numbers, tuple(sorted(differing))


def _find_version(versions: list[dict[str, str]], files: Mapping[str, str]) -> int:
    """Return the number of the first older version that agrees, which then has these files as well, or of a new one."""
    for number, known in enumerate(versions[1:], 1):
        if all(known.get(name, digest) == digest for name, digest in files.items()):
            known.update(files)
            return number
    versions.append(dict(files))
    return len(versions) - 1


def _name_sets(sets: Iterable[_Versions]) -> dict[_Versions, str]:
    """Name each combination of versions that results depend on, in the order in which they came."""
    current, none = frozenset({_CURRENT}), frozenset[int]()
    older = [found for found in dict.fromkeys(sets) if found not in (current, none)]
    names = {found: OLD if len(older) == 1 else f"{OLD}-{number}" for number, found in enumerate(older, 1)}
    return {current: NOW, none: UNKNOWN, **names}
