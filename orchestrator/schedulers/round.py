"""What the steps of one call of `advance` share: the study as it was read, and what the scheduler says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from seedfold.jobs.canonical import canonical_json
from seedfold.jobs.errors import counted
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.backend import Answer, Backend
from seedfold.orchestrator.schedulers.registry import backend_of
from seedfold.orchestrator.schedulers.submission_attempts import left_behind, was_tried
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.failures import Policies
from seedfold.orchestrator.state.job_states import Standings

FINAL = frozenset({"done", "failed", "cancelled"})


@dataclass(slots=True)
class Advanced:
    """What one call did: numbers of tasks, and what the scheduler refused or did not answer.

    ``put_off`` tells that a later call, in a minute or so, will know more than this one.
    """

    sent: int = 0
    held: int = 0
    closed: int = 0
    renewed: int = 0
    put_off: bool = False
    problems: list[str] = field(default_factory=list)
    answer: Answer = field(default_factory=dict)

    def __str__(self) -> str:
        counts = {"sent": self.sent, "held back": self.held, "closed": self.closed, "tried again": self.renewed}
        told = ", ".join(f"{count} tasks {what}" for what, count in counts.items() if count)
        return "; ".join([told, *self.problems] if told else self.problems) or "nothing to do"


class Round:
    """One call of `advance`."""

    def __init__(self, root: Root, study: StudyFolder, ledger: Ledger) -> None:
        self.study, self.ledger = study, ledger
        header = ledger.plans.header
        assert header is not None
        self.settings, self.folder = header.settings, Path(header.folder)
        self.policies = Policies.parse(self.settings["failures"])
        self.standings = Standings(root, ledger, self.policies)
        self.events = EventWriter(study.events)
        self.done = Advanced()
        self._backends: dict[str, Backend] = {}

    def ask(self) -> None:
        """Ask each scheduler once about all arrays that somebody has tried to submit."""
        for submissions in _by_executor([one for one in self.arrays() if was_tried(one)]).values():
            self.done.answer = {**self.done.answer, **self.backend(submissions[0]).ask(submissions)}

    def arrays(self) -> list[Submission]:
        """The live arrays of this root: of tasks that look for another place nothing is concluded."""
        return [one for one in self.ledger.live if one.array and left_behind(one) is None]

    def report_left_behind(self) -> None:
        """Add a problem where tasks are queued that look for the root in another place."""
        study, gone = self.study.name, [one for one in self.ledger.live if one.array and left_behind(one)]
        if gone:
            place, tasks = Path(left_behind(gone[0]) or "").parents[2], counted(sum(map(open_tasks, gone)), "task")
            self.done.problems.append(
                f"{tasks} queued when the root was {place} will not find it here, and nothing is concluded about them;"
                " move it back, or take them out of the queue, then"
                f" seedfold cancel {study} and seedfold resume {study}"
            )

    def backend(self, submission: Submission) -> Backend:
        """The scheduler with the settings that the submission was planned with, which may differ from others'."""
        settings = submission.settings["cluster"]
        key = canonical_json(settings)
        if key not in self._backends:
            backend = backend_of(Cluster.parse(settings))
            assert backend is not None
            self._backends[key] = backend
        return self._backends[key]


def open_tasks(submission: Submission) -> int:
    """How many tasks of a submission have not ended."""
    return submission.task_count - sum(mark.over for mark in submission.tasks.marks().values())


def settle_s(submission: Submission) -> int:
    """Seconds in which the scheduler may not know yet of what was submitted."""
    batch = Cluster.parse(submission.settings["cluster"]).batch
    return 0 if batch is None else batch.settle_s


def limit_of(submission: Submission) -> int | None:
    """The most tasks that the cluster may have queued of a user, where the configuration says so."""
    batch = Cluster.parse(submission.settings["cluster"]).batch
    return None if batch is None else batch.max_submitted


def _by_executor(submissions: Iterable[Submission]) -> dict[str, list[Submission]]:
    found: dict[str, list[Submission]] = {}
    for submission in submissions:
        found.setdefault(Cluster.parse(submission.settings["cluster"]).executor, []).append(submission)
    return found
