"""Killing what takes part in a study, and comparing what is left with an undisturbed run."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pyarrow.parquet as pq

from seedfold.orchestrator.ledger.events import EventReader
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger

StoredResults = dict[str, tuple[list[Any], list[Any]]]


def read_results(study: StudyFolder) -> StoredResults:
    """Per job its metrics and its tables of predictions; times and hosts are left out."""
    found: StoredResults = {}
    for folder in (study.path / "store").glob("*/*"):
        job = folder.name.split(".")[0]
        assert job not in found, f"{job} has two results"
        metrics = json.loads((folder / "result.json").read_text())["metrics"]
        found[job] = metrics, [pq.read_table(file).to_pylist() for file in sorted(folder.glob("predictions.*"))]
    return found


def count_events(study: StudyFolder, kind: str) -> Counter[str]:
    """How often an event of a kind was told of each job."""
    return Counter(event["job"] for event in EventReader(study.events_folder).read_new() if event["e"] == kind)


def worker_processes(study: StudyFolder) -> list[psutil.Process]:
    """The workers that live."""
    if not study.is_planned:
        return []
    identities = [submission.worker_process() for submission in Ledger(study).live_submissions]
    alive = (worker.pid for worker in identities if worker and worker.liveness() == "alive")
    return [process for pid in alive for process in _find_process(pid)]


def _find_process(pid: int) -> list[psutil.Process]:
    """None where it ended a moment ago."""
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []


def template_processes(study: StudyFolder) -> list[psutil.Process]:
    """The processes from which jobs are forked."""
    return [child for worker in worker_processes(study) for child in _children(worker)]


def _children(process: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
    """Those of a process that may end at this moment."""
    try:
        return process.children(recursive=recursive)
    except psutil.NoSuchProcess:
        return []


def job_processes(study: StudyFolder) -> list[psutil.Process]:
    """The processes of jobs."""
    return [child for template in template_processes(study) for child in _children(template)]


def kill_jobs(study: StudyFolder) -> None:
    """Kill every job without a word, and what it has started."""
    for job in job_processes(study):
        for process in (job, *_children(job, recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()


VICTIMS: dict[str, Callable[[StudyFolder], list[psutil.Process]]] = {
    "worker": worker_processes,
    "template": template_processes,
    "job": job_processes,
}


def kill_random_process(study: StudyFolder, launcher: subprocess.Popen[str], generator: random.Random) -> str:
    """Kill a random process of those that take part; tell which kind it was."""
    kind = generator.choice(["launcher", *VICTIMS])
    if kind == "launcher":
        launcher.kill()
        return kind
    try:
        victims = VICTIMS[kind](study)
        if victims:
            generator.choice(victims).kill()
    except psutil.NoSuchProcess:
        return "nobody"
    return kind if victims else "nobody"
