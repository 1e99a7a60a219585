"""Turns: commands that submit jobs of one study at the same time do it one after the other.

Turn N is the file ``turns/N``, which only one process can create. It names the submissions that this process is about
to write. Who wants to submit waits until the submissions of all earlier turns are there, reads the ledger, leaves out
the jobs that others have submitted meanwhile, and takes the next turn. If somebody else has taken it, all this is
repeated. Nobody waits for a process that is dead, or for longer than a minute.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError, naming_damaged_file, read_record
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.results.store.passing_errors import exists, find_files

_LONGEST_WAIT_S = 60.0
_PAUSE_S = 0.05
_REMEDY = "remove it if no command is submitting jobs of the study"


def next_turn(study: StudyFolder) -> int:
    """Wait until all turns so far are over; return the number of the next one."""
    folder = study.turns_folder
    names = (path.name for path in find_files(folder, "*"))
    number = max((int(name) for name in names if name.isdecimal()), default=0)
    end = time.monotonic() + _LONGEST_WAIT_S
    while number and not _is_over(study, folder / str(number)) and time.monotonic() < end:
        time.sleep(_PAUSE_S)
    return number + 1


def take_turn(study: StudyFolder, number: int, tokens: Sequence[str]) -> bool:
    """Take a turn, in which the submissions ``tokens`` are written; False if another process has taken it."""
    record = {"process": ProcessIdentity.current().to_dict(), "tokens": list(tokens)}
    return create_once(study.turns_folder / str(number), json.dumps(record))


def _is_over(study: StudyFolder, file: Path) -> bool:
    try:
        with naming_damaged_file(file, _REMEDY):
            record = read_record(file, _REMEDY)
            process, tokens = ProcessIdentity.from_dict(record["process"]), list(record["tokens"])
    except (FileNotFoundError, DamagedFileError):
        return True
    if all(exists(study.submissions_folder / str(token) / "intent.json") for token in tokens):
        return True
    return process.liveness() == "dead"


def last_tokens(ledger: Ledger) -> Mapping[str, str]:
    """The last submission of each job, as far as it has been read."""
    return {job: submission.token for job, submission in ledger.last_submission_of.items()}


def without_submitted_since(
    ledger: Ledger, jobs: Sequence[JobDescription], known: Mapping[str, str]
) -> list[JobDescription]:
    """The jobs that nobody has submitted since their last submissions were the ``known`` ones."""
    ledger.refresh()
    now = last_tokens(ledger)
    return [job for job in jobs if now.get(job.id) == known.get(job.id)]
