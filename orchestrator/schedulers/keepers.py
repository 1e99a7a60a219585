"""The keeper job: it advances a study on the cluster when nobody is logged in. A study has one in the queue at a time.

It starts when the first of the study's arrays has ended, advances the study, and queues the next keeper behind the
arrays that are left. If none of them is queued, because the queue is full of other jobs, it starts in a few minutes.

``keepers/N`` is created once, before keeper N is submitted, and names the arrays that it waits for. ``N.sent`` has its
number, and ``N.begun`` appears when it starts. Whoever advances the study and finds no keeper that is queued, or one
that does not wait for all arrays, queues the next one. So it does not matter where a process died.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError, naming_damaged_file, read_record
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.advance_round import AdvanceRound, settle_s
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.submission_attempts import submitted_at
from seedfold.orchestrator.settings.cluster import ClusterSettings

KeeperFunction = Callable[[str, str, str], None]
"""The function that a keeper job calls with the root, the study's name and its own number."""
_REMEDY = "remove it; the next command queues another keeper job"


@dataclass(frozen=True, slots=True)
class _Keeper:
    """One keeper: its number, the arrays that it waits for, the submission in whose folder it is, and who queued it."""

    number: int
    waits_for: frozenset[str]
    carrier: str
    process: ProcessIdentity
    time: float
    job_number: str | None
    has_failed: bool
    has_begun: bool


def record_begun(study: StudyFolder, number: str) -> None:
    """Record that a keeper has started."""
    create_once(study.keepers_folder / f"{number}.begun", "")


class Keepers:
    """Queues the keeper of a study in one call of `advance`."""

    def __init__(self, this_round: AdvanceRound, function: KeeperFunction) -> None:
        self._round, self._function = this_round, function
        self._folder = this_round.study.keepers_folder

    def queue_if_needed(self, held_back: Sequence[Submission]) -> None:
        """Queue a keeper unless one is queued that waits for all arrays; ``held_back`` are those not submitted yet."""
        arrays = [one for one in self._round.live_arrays() if self._will_end(one)]
        if not arrays and not held_back:
            return
        carrier = (arrays or held_back)[-1]
        cluster = ClusterSettings.parse(carrier.settings["cluster"])
        if cluster.scheduler is None or not cluster.scheduler.keeper:
            return
        arrays = [one for one in arrays if one.settings["cluster"]["executor"] == cluster.executor]
        try:
            self._queue_unless_queued(carrier, arrays)
        except UnreachableError as error:
            self._round.result.problems.append(f"no keeper job was queued: {error}")
            self._round.result.call_again = True

    def _queue_unless_queued(self, carrier: Submission, arrays: Sequence[Submission]) -> None:
        last = self._last_keeper()
        is_queued = last is not None and self._is_queued(last, carrier)
        if last is not None and is_queued and last.waits_for >= {one.token for one in arrays}:
            return
        if self._submit(1 if last is None else last.number + 1, carrier, arrays) and last is not None and is_queued:
            self._cancel(last)

    def _will_end(self, submission: Submission) -> bool:
        """Whether an array is queued or running, so that a keeper can wait for its end."""
        if submission.scheduler_id() is None:
            return False
        states = self._round.result.task_states.get(submission.token)
        if not states:
            return time.time() - submitted_at(submission) < settle_s(submission)
        return any(state.phase in {"pending", "running"} for state in states.values())

    def _last_keeper(self) -> _Keeper | None:
        names = {path.name for path in self._folder.glob("*")}
        number = max((int(name) for name in names if name.isdecimal()), default=None)
        if number is None:
            return None
        file = self._folder / str(number)
        try:
            with naming_damaged_file(file, _REMEDY):
                record = read_record(file, _REMEDY)
                sent = f"{number}.sent"
                return _Keeper(
                    number=number,
                    waits_for=frozenset(record["waits_for"]),
                    carrier=str(record["carrier"]),
                    process=ProcessIdentity.from_dict(record["process"]),
                    time=file.stat().st_mtime,
                    job_number=(self._folder / sent).read_text() if sent in names else None,
                    has_failed=f"{number}.failed" in names,
                    has_begun=f"{number}.begun" in names,
                )
        except DamagedFileError as error:
            self._round.result.problems.append(str(error))
            return _Keeper(number, frozenset(), "", ProcessIdentity.current(), 0.0, None, True, False)

    def _is_queued(self, keeper: _Keeper, carrier: Submission) -> bool:
        """Whether a keeper is queued and has not begun, or may still be on its way."""
        if keeper.has_begun or keeper.has_failed:
            return False
        if keeper.job_number is None:
            is_on_its_way = keeper.process.liveness() == "alive" or time.time() - keeper.time < settle_s(carrier)
            self._round.result.call_again = self._round.result.call_again or is_on_its_way
            return is_on_its_way
        return bool(self._round.backend_for(carrier).queue_state(keeper.job_number)[0])

    def _submit(self, number: int, carrier: Submission, arrays: Sequence[Submission]) -> bool:
        record = {
            "waits_for": [one.token for one in arrays],
            "carrier": carrier.token,
            "process": ProcessIdentity.current().to_dict(),
        }
        if not create_once(self._folder / str(number), json.dumps(record)):
            return False
        after = [array_id for one in arrays if (array_id := one.scheduler_id()) is not None]
        backend = self._round.backend_for(carrier)
        try:
            job_number = backend.submit_keeper(carrier, after, self._function, str(number))
        except (RefusedError, UnreachableError) as error:
            create_once(self._folder / f"{number}.failed", str(error))
            self._round.result.problems.append(f"no keeper job was queued: {error}")
            self._round.result.call_again = True
            return False
        create_once(self._folder / f"{number}.sent", job_number)
        return True

    def _cancel(self, keeper: _Keeper) -> None:
        """Take a keeper out of the queue that another one replaces. If that fails, it runs and finds nothing to do."""
        if keeper.job_number is None or (self._folder / f"{keeper.number}.begun").exists():
            return
        folder = self._round.study.submissions_folder / keeper.carrier
        with suppress(UnreachableError, FileNotFoundError, DamagedFileError):
            carrier = Submission.read(Path(folder))
            self._round.backend_for(carrier).cancel_keeper(carrier, keeper.job_number)
