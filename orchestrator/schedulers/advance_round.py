"""What the steps of one call of `advance` share: the study as it was read, and the scheduler's view of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.backend import Backend, StatusReply
from seedfold.orchestrator.schedulers.registry import get_backend
from seedfold.orchestrator.schedulers.submission_attempts import orphaned_folder, was_attempted
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import JobStates

FINAL_STATES = frozenset({"done", "failed", "cancelled"})


@dataclass(slots=True)
class AdvanceResult:
    """What one call of `advance` did: numbers of tasks, and problems with the scheduler.

    ``unanswered`` tasks were sent, and it is not known whether they were accepted; ``refused_jobs`` were refused, for
    the reasons in ``refusals``. ``call_again`` means that another call, about a minute later, will know more. The
    submissions ``on_hold`` are not sent, because all their jobs are held.
    """

    submitted: int = 0
    held_back: int = 0
    unanswered: int = 0
    closed: int = 0
    resubmitted: int = 0
    refused_jobs: int = 0
    call_again: bool = False
    problems: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    task_states: StatusReply = field(default_factory=dict)
    on_hold: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return "; ".join(filter(None, [self.summary(), *self.refusals])) or "nothing to do"

    def summary(self) -> str:
        """What was done, without refusals; empty if it was nothing."""
        counts = {
            "sent": self.submitted,
            "held back": self.held_back,
            "sent without an answer": self.unanswered,
            "closed": self.closed,
            "submitted again": self.resubmitted,
        }
        counts_text = ", ".join(f"{count} tasks {what}" for what, count in counts.items() if count)
        return "; ".join([counts_text, *self.problems] if counts_text else self.problems)


class AdvanceRound:
    """One call of `advance`."""

    def __init__(self, root: Root, study: StudyFolder, ledger: Ledger) -> None:
        self.study, self.ledger = study, ledger
        header = ledger.plans.header
        assert header is not None
        self.settings, self.folder = header.settings, Path(header.folder)
        self.policies = RetryPolicies.parse(self.settings["failures"])
        self.states = JobStates(root, ledger, self.policies)
        self.events = EventWriter(study.events_folder)
        self.result = AdvanceResult()
        self._backends: dict[str, Backend] = {}
        self._shares: dict[str, int] = {}

    def query_schedulers(self) -> None:
        """Query each scheduler once for all arrays that have been sent to it."""
        for submissions in _group_by_executor([one for one in self.live_arrays() if was_attempted(one)]).values():
            self.result.task_states = {
                **self.result.task_states,
                **self.backend_for(submissions[0]).query_tasks(submissions),
            }

    def live_arrays(self) -> list[Submission]:
        """The live arrays of this root, without those whose tasks look for the root in another folder."""
        return [one for one in self.ledger.live_submissions if one.array and orphaned_folder(one) is None]

    def report_orphaned(self) -> None:
        """Add a problem if queued tasks look for the root in another folder."""
        study, orphaned = (
            self.study.name,
            [one for one in self.ledger.live_submissions if one.array and orphaned_folder(one)],
        )
        if orphaned:
            old_root, tasks = (
                Path(orphaned_folder(orphaned[0]) or "").parents[2],
                count_noun(sum(map(count_open_tasks, orphaned)), "task"),
            )
            self.result.problems.append(
                f"{tasks} queued when the root was {old_root} will not find it here,"
                " and nothing is concluded about them; move it back, or take them out of the queue, then"
                f" seedfold cancel {study} and seedfold resume {study}"
            )

    def is_on_hold(self, submission: Submission) -> bool:
        """Whether all jobs of a submission are held."""
        return all(self.states.of(job).is_held for job in submission.jobs)

    def share_throttle(self) -> None:
        """Find out how many of the live arrays may run at the same time as each of them."""
        limited = self.ledger.throttle.limit is not None
        arrays = [one for one in self.live_arrays() if not self.is_on_hold(one)] if limited else []
        before = {one.token: _tokens_before(one, {other.token: other for other in arrays}) for one in arrays}
        self._shares = {
            one: sum(one not in before[other] and other not in before[one] for other in before) for one in before
        }

    def throttle_of(self, submission: Submission) -> int | None:
        """How many tasks of an array may run at a time; None for all."""
        limit = self.ledger.throttle.limit
        return tasks_at_a_time(submission, limit, self._shares.get(submission.token, 1))

    def backend_for(self, submission: Submission) -> Backend:
        """The backend with the settings of a submission, which may differ from those of other submissions."""
        settings = {**submission.settings["cluster"], "throttle": self.throttle_of(submission)}
        key = canonical_json(settings)
        if key not in self._backends:
            backend = get_backend(ClusterSettings.parse(settings))
            assert backend is not None
            self._backends[key] = backend
        return self._backends[key]


def _tokens_before(submission: Submission, live: Mapping[str, Submission]) -> set[str]:
    """The live arrays that have to end before this one starts, directly or not."""
    found: set[str] = set()
    to_visit = [submission]
    while to_visit:
        array = to_visit.pop().array
        for token in array.after if array else ():
            if token in live and token not in found:
                found.add(token)
                to_visit.append(live[token])
    return found


def tasks_at_a_time(submission: Submission, jobs: int | None, shares: int) -> int | None:
    """How many tasks of an array may run at a time, if ``shares`` arrays share so many jobs; None for all.

    At least one, and never more than ``cluster.throttle``.
    """
    assert submission.array is not None
    scheduler = ClusterSettings.parse(submission.settings["cluster"]).scheduler
    own = None if scheduler is None else scheduler.throttle
    if jobs is None:
        return own
    tasks = max(1, jobs // shares // submission.array.side_by_side)
    return tasks if own is None else min(own, tasks)


def count_open_tasks(submission: Submission) -> int:
    """How many tasks of a submission have not ended."""
    return submission.task_count - sum(mark.is_over for mark in submission.tasks.records().values())


def settle_s(submission: Submission) -> int:
    """Seconds after a submission in which the scheduler may not list it yet."""
    batch = ClusterSettings.parse(submission.settings["cluster"]).scheduler
    return 0 if batch is None else batch.settle_s


def queue_limit(submission: Submission) -> int | None:
    """The largest number of queued tasks of one user, if it is configured."""
    batch = ClusterSettings.parse(submission.settings["cluster"]).scheduler
    return None if batch is None else batch.max_submitted


def _group_by_executor(submissions: Iterable[Submission]) -> dict[str, list[Submission]]:
    groups: dict[str, list[Submission]] = {}
    for submission in submissions:
        groups.setdefault(ClusterSettings.parse(submission.settings["cluster"]).executor, []).append(submission)
    return groups
