"""The task of a worker environment: it is recorded, and its worker runs, unless another worker has it."""

from __future__ import annotations

import os
import sys

from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.worker.environment import WorkerEnvironment
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.storage_wait import StorageWait
from seedfold.orchestrator.worker.worker import Worker


def run_task(submission: Submission, environment: WorkerEnvironment) -> None:
    """Run the task of a worker environment, unless another worker has it."""
    storage = StorageWait(submission.folder, beat=lambda: None, may_wait=lambda: True)
    if not storage.until_done(lambda: submission.tasks.record_start(environment.index, environment.restart)):
        say("this task has a worker already, or has ended")
        return
    sys.path[:0] = submission.import_path()
    os.environ["PYTHONPATH"] = submission.python_path()
    study = StudyFolder(submission.folder.parents[1])
    Worker(Root(study.path.parent), study, submission, environment).run()
