"""This machine as executor: one detached worker that runs all jobs of a submission.

It has a session of its own and its output in a file, so that neither Ctrl-C nor closing the terminal reaches it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.portable_call import python_arguments
from seedfold.orchestrator.worker.local_task import work

_started: list[subprocess.Popen[bytes]] = []
"""Workers that this process has started and not yet waited for: they are zombies from their end until then."""


def start_worker(submission: Submission) -> None:
    """Start the submission's worker, detached. Raises UnreachableError, which names the log, if that fails.

    Raises UsageError if the snapshot that it is to run is gone.
    """
    environment = {**os.environ, "PYTHONPATH": submission.python_path()}
    arguments = python_arguments(work, [str(submission.folder), os.environ.get("CUDA_VISIBLE_DEVICES")])
    _started[:] = [worker for worker in _started if worker.poll() is None]
    with submission.log_file.open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    _started.append(worker)
    try:
        process = ProcessIdentity.of_pid(worker.pid)
    except ProcessLookupError:
        # It has ended already; a worker that came to its end has recorded that.
        if worker.wait():
            raise UnreachableError(f"the local worker did not start; see {submission.log_file}") from None
    else:
        record = {"process": process.to_dict(), "scheduler_id": str(worker.pid)}
        create_once(submission.folder / "submitted.json", json.dumps(record))
