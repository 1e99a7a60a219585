"""The task of a worker environment: it is recorded, and its worker runs, unless another worker has it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from seedfold.orchestrator.ledger.past_caches import longest_cache_s
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.worker.environment import WorkerEnvironment
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.storage_wait import StorageWait
from seedfold.orchestrator.worker.template_start import fork_template
from seedfold.orchestrator.worker.worker import Worker


def run_task(submission: Submission, environment: WorkerEnvironment, *, is_fresh: bool = False) -> None:
    """Run the task of a worker environment, unless another worker has it.

    The template is forked from this process if it ``is_fresh``: started for this task, and nothing has happened in it.
    """
    if not _record_start(submission, environment):
        say("this task has a worker already, or has ended")
        return
    say(f"submission {submission.token}: process {os.getpid()} on {environment.node} is its worker")
    sys.path[:] = dict.fromkeys([*submission.import_path(), *sys.path])
    os.environ["PYTHONPATH"] = submission.python_path()
    template = fork_template() if is_fresh else None
    worker = Worker(submission, environment, template)
    worker.run()
    while _were_jobs_released(worker) or _has_search_more(worker):
        # Whoever released the jobs may have seen this task alive, and left them to it.
        environment = replace(environment, restart=environment.restart + 1)
        if not _record_start(submission, environment):
            return
        worker = Worker(submission, environment)
        worker.run()


def _were_jobs_released(worker: Worker) -> bool:
    """Whether held jobs were released while a worker ended.

    A scheduler's jobs are submitted again. A worker of this machine has to look itself, after it has recorded its end:
    whoever released them before saw it alive, and whoever does it later sees that it has ended.
    """
    states, queue = worker.states, worker.queue
    if worker.environment.is_scheduled or worker.kill_at is not None or queue.has_closed_stages or not queue.held:
        return False
    if longest_cache_s(states.ledger.study.path):
        states.ledger.look_past_caches()
    states.refresh()
    return any(states.of(job).state == "waiting" and not states.of(job).is_held for job in queue.held)


def _has_search_more(worker: Worker) -> bool:
    """Whether the search of a worker goes on: it was launched or resumed again while the worker ended."""
    if worker.environment.is_scheduled or worker.kill_at is not None or worker.queue.has_closed_stages:
        return False
    return worker.pool is not None and worker.pool.has_more()


def _record_start(submission: Submission, environment: WorkerEnvironment) -> bool:
    storage = StorageWait(submission.folder, beat=lambda: None, may_wait=lambda: True)
    return storage.until_done(lambda: submission.tasks.record_start(environment.index, environment.restart))
