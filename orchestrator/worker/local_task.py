"""A worker on this machine, as `seedfold.orchestrator.schedulers.local` starts it."""

from __future__ import annotations

import os
from pathlib import Path

from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.worker.environment import WorkerEnvironment
from seedfold.orchestrator.worker.imported_task import import_run_task


def work(folder: str, visible_gpus: str | None) -> None:
    """Run the submission in ``folder``, ``<root>/<study>/submissions/TOKEN``.

    ``visible_gpus`` is CUDA_VISIBLE_DEVICES of the launching shell: a launcher of an earlier version overwrites it.
    """
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if visible_gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpus
    import_run_task()(Submission.read(Path(folder)), WorkerEnvironment(), is_fresh=True)
