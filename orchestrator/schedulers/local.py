"""This machine as executor: one detached submitit task that runs all jobs of a submission.

The task is submitted from a short-lived process in its own session, with its output in a file, so that neither Ctrl-C
nor closing the terminal reaches it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.portable_call import PortableCall

# submitit ends a local task after two minutes unless told otherwise.
_NO_LIMIT_MIN = 60 * 24 * 3650


def start_worker(submission: Submission) -> None:
    """Start the submission's worker, detached. Raises UnreachableError, which names the log, if that fails.

    Raises UsageError if the snapshot that it is to run is gone.
    """
    submission.import_path()
    with submission.log_file.open("ab") as log:
        process = subprocess.run(
            [sys.executable, "-P", "-m", "seedfold.orchestrator.schedulers.local", str(submission.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )
    if process.returncode:
        raise UnreachableError(f"the local worker did not start; see {submission.log_file}")


def _submit_local_task(folder: Path) -> None:
    import submitit

    from seedfold.orchestrator.worker.local_task import work

    # The task imports the snapshot of the code; this process, which hands it over, is of the launcher's version.
    os.environ["PYTHONPATH"] = Submission.read(folder).python_path()
    executor = submitit.LocalExecutor(folder=folder / "submitit")
    executor.update_parameters(timeout_min=_NO_LIMIT_MIN, tasks_per_node=1)
    visible_gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    task = executor.submit(PortableCall(work), str(folder), visible_gpus)
    process = ProcessIdentity.of_pid(int(task.job_id))
    create_once(folder / "submitted.json", json.dumps({"process": process.to_dict(), "scheduler_id": task.job_id}))
    # The task runs on its own. Without this, submitit would wait for it when this process ends.
    os._exit(0)


if __name__ == "__main__":
    _submit_local_task(Path(sys.argv[1]))
