"""The lines for people about stale results, one for each kind of change: code, data or parents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.code.comparison import CodeComparison, CodeKey
from seedfold.orchestrator.state.job_states import JobState
from seedfold.orchestrator.state.job_views import JobViews, counted
from seedfold.orchestrator.state.staleness import CODE, DATA, PARENT
from seedfold.results.imports.run import IMPORT_RUN

_MAX_NAMES = 3


class Judged(Protocol):
    """A job, and the changes since it was done."""

    @property
    def job(self) -> JobDescription:
        """The job."""

    @property
    def job_state(self) -> JobState:
        """The state of the job."""

    @property
    def changes(self) -> tuple[str, ...]:
        """See `seedfold.orchestrator.state.staleness.StalenessChecker.find_changes`."""


@dataclass(frozen=True, slots=True)
class WaysOn:
    """What a person can type if results are stale: to run the jobs again, or to keep results of other code."""

    rerun: str
    accept: str

    @classmethod
    def by_command(cls, study_name: str) -> WaysOn:
        """The commands for a study of any kind."""
        return cls(f"seedfold rerun {study_name} --stale", f"seedfold resume {study_name} --accept-code")


OPTIONS = WaysOn("--rerun stale", "--accept-code")
"""The options of the command that prints the lines."""


def count_stale_by_kind(jobs: Iterable[Judged]) -> dict[str, int]:
    """Count the jobs whose ``code``, ``data`` or ``parent`` has changed; a job may count for each."""
    kinds = [({_kind(change) for change in judged.changes}, count) for judged, count in _counted(jobs)]
    return {kind: sum(count for found, count in kinds if kind in found) for kind in (CODE, DATA, PARENT)}


def stale_lines(jobs: Iterable[Judged], ways: WaysOn) -> Iterator[str]:
    """Yield lines that say how many done jobs are stale, which files have changed, and what to type."""
    told = _counted(jobs)
    judged = [one for one, _ in told]
    counts, done = count_stale_by_kind(jobs), sum(count for one, count in told if one.job_state.state == "done")
    of_done = count_noun(done, "done job")
    if counts[CODE]:
        it = _them(counts[CODE])
        again = f"{ways.rerun} runs {it} again" if _can_run(judged) else "import the predictions of today's code"
        yield (
            f"{counts[CODE]} of {of_done} {_was(counts[CODE])} computed by other code ({_names(judged, CODE)}): "
            f"{again}, {ways.accept} keeps {it}"
        )
    if counts[DATA]:
        yield (
            f"{counts[DATA]} of {of_done} read data that has changed since ({_names(judged, DATA)}): "
            f"{ways.rerun} runs {_them(counts[DATA])} again"
        )
    if counts[PARENT]:
        yield (
            f"{counts[PARENT]} of {of_done} {_was(counts[PARENT])} computed from older results of "
            f"{'its' if counts[PARENT] == 1 else 'their'} parents: the next launch runs {_them(counts[PARENT])} again"
        )


def package_lines(jobs: Iterable[Judged], comparison: CodeComparison) -> Iterator[str]:
    """Say which versions of installed packages differ between results, or from today. This makes no result stale."""
    keys: Counter[CodeKey] = Counter()
    for one, number in _counted(jobs):
        state = one.job_state
        if state.state == "done" and state.event:
            keys[CodeKey(state.holding_study, state.event["code"], one.job.run)] += number
    versions: dict[str, Counter[str]] = {}
    for key, count in keys.items():
        for name, version in comparison.packages(key).items():
            versions.setdefault(name, Counter())[version] += count
    mixed = {name: counts for name, counts in versions.items() if len(counts) > 1}
    if mixed:
        listed = [f"{name} {_versions(counts)}" for name, counts in sorted(mixed.items())]
        yield f"results were computed with different versions of installed packages: {_some(listed)}"
    changed = {name: now for key in keys for name, (_, now) in comparison.changed_packages(key).items()}
    others = [
        f"{name} {next(iter(versions[name]))} → {changed[name]}" for name in sorted(changed.keys() - mixed.keys())
    ]
    if others:
        yield f"versions of installed packages differ from those that computed results: {_some(others)}"


def _versions(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{version} ({count_noun(count, 'job')})" for version, count in sorted(counts.items()))


def _counted(jobs: Iterable[Judged]) -> Sequence[tuple[Judged, int]]:
    """Each job once, or one of those that are alike, with their number."""
    if isinstance(jobs, JobViews):
        return counted(jobs)
    return [(one, 1) for one in {judged.job.id: judged for judged in jobs}.values()]


def _can_run(jobs: Iterable[Judged]) -> bool:
    """Whether Seedfold can run any of the jobs with other code; it cannot run imported jobs."""
    return any(judged.job.run != IMPORT_RUN for judged in jobs for change in judged.changes if _kind(change) == CODE)


def _kind(change: str) -> str:
    return change.partition(" ")[0]


def _names(jobs: Iterable[Judged], kind: str) -> str:
    changes = {change for judged in jobs for change in judged.changes if _kind(change) == kind}
    return _some(sorted(change.partition(" ")[2] for change in changes))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"
