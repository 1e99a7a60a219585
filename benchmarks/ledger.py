"""What looking at a large study costs: ``seedfold status``, ``seedfold plan`` and the page, with 100,000 jobs done.

The study is made with the code that makes real ones: descriptions, a plan, events, published folders; only the calls
that flush to disk are left out, and its jobs are told to have ended over the last ten days. Each command then runs in
a fresh process: once cold, with nothing of the study in memory and nothing kept of what an earlier command had read,
then warm, after something was added to the study and when nothing was. Cold needs the right to empty the kernel's
caches (root); without it only the contents of files are dropped.
The peer is a scan: what any program has to do that keeps nothing between calls, parse each line and ask about each
result.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from urllib.request import Request, urlopen

import yaml

from benchmarks._figures import Figure, main, medians, seconds
from benchmarks._projects import SEEDFOLD, peak_bytes, seedfold
from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.code.code_records import record_code
from seedfold.orchestrator.code.data_reads import ReadRecorder
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import done_event_details
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.results.store.published import publish

WORKERS = 20
DAYS = 10
POINTS_PER_SEED = 100
SCAN = """
import json, os, sys
from pathlib import Path

runs = Path(sys.argv[1])
for path in [*runs.glob("*/plans/*.jsonl"), *runs.glob("*/events/*.jsonl")]:
    for line in path.read_bytes().splitlines():
        json.loads(line)
for prefix in os.scandir(runs / "large" / "store"):
    for name in os.listdir(prefix.path):
        os.stat(f"{prefix.path}/{name}/answer.txt")
"""


@dataclass(frozen=True)
class Case:
    """A command line, and what it may take, in seconds."""

    name: str
    arguments: tuple[str, ...]
    warm_s: float
    cold_s: float
    unchanged_s: float | None = None


CASES = (
    Case("status", ("status", "large"), 1, 5, 0.3),
    Case("status --json", ("status", "large", "--json"), 1, 5, 0.3),
    Case("plan 100 points", ("plan", "--config-dir", "conf", "experiment=large", "seed=0"), 1, 5, 0.3),
    # Making the points is a cost of its own, with a budget of its own: 0.1 ms a point.
    Case("plan all points", ("plan", "--config-dir", "conf", "experiment=large"), 11, 15),
)
SETTLED_S = 61
MOST_MEMORY = 150 * 1024**2
MOST_MEMORY_OF_PAGE = 300 * 1024**2
QUESTIONS = {"all studies": "", "one study": "/large", "table of jobs": "/large/jobs?page=1"}
ADDRESS = re.compile(r"http://[^/]+")
MEMORY = re.compile(r"VmRSS:\s+(\d+)")


def write_experiment(project: Path, jobs: int) -> None:
    """Write a study of at least ``jobs`` jobs, with a configuration of about 67 keys."""
    content = {
        "study": "large",
        "run": "builtins.print",
        "paths": {"data": "data"},
        "model": {f"option_{number}": number / 7 for number in range(20)},
        "task": {f"property_{number}": f"text {number}" for number in range(12)},
        "loss": {"weighting": "none", "smoothing": 0.0},
        "sampling": {"imbalance_ratio": 1.0},
        "optimizer": {"lr": 0.1, "weight_decay": 0.0, "betas": [0.9, 0.999]},
        "matrix": {
            "loss.weighting": ["none", "ratio"],
            "sampling.imbalance_ratio": [1.0, 2.0, 5.0, 8.0, 10.0],
            "optimizer.lr": [0.1, 0.01],
            "fold": "range(0,5)",
            "seed": f"range(0,{-(-jobs // POINTS_PER_SEED)})",
        },
    }
    folder = project / "conf" / "experiment"
    folder.mkdir(parents=True)
    (project / "data").mkdir()
    (project / "data" / "table.csv").write_text("sample_id,target\n0,1\n")
    (folder / "large.yaml").write_text("# @package _global_\n" + yaml.safe_dump(content, sort_keys=False))


def finish(study: StudyFolder, job: JobDescription, code: str, events: EventWriter) -> None:
    """Have a job started, published and done."""
    events.append("started", job=job.id, n=1, process=ProcessIdentity.current().to_dict())
    recorder = ReadRecorder(job.config)
    recorder(Path(job.config["paths"]["data"]) / "table.csv")
    final, staging = study.result_folder(job.id, 1), study.path / "staging"
    staging.mkdir()
    (staging / "answer.txt").write_text(job.id)
    described = {"id": job.id, "study": job.study, "stage": job.stage, "axes": job.axes, "run": job.run}
    facts = {"attempt": 1, "parents": {}, "reads": recorder.reads, "code": code}
    times = {"started": time.time() - 1, "ended": time.time()}
    record = {**described, **facts, **times, "config": {}, "provenance": {"host": os.uname().nodename}}
    events.append("done", **done_event_details(job.id, 1, publish(staging, final, record), final))


def record_own_code(study: StudyFolder) -> list[str]:
    """Record the code of jobs that load no modules of the user's."""
    return [record_code(study, "builtins.print")]


def make_study(
    project: Path, jobs: int, record_codes: Callable[[StudyFolder], Sequence[str]] = record_own_code
) -> None:
    """Make the study, all of it done, without flushing every file to disk.

    Its jobs take turns in the codes that ``record_codes`` records.
    """
    from seedfold.orchestrator.dispatch.launch import make_plan

    write_experiment(project, jobs)
    root = Root(project / "runs")
    with patch("os.fsync"), patch("seedfold.orchestrator.ledger.events.time", wraps=time) as clock:
        plan = make_plan(root, ["experiment=large", f"paths.data={project / 'data'}"], [project / "conf"])
        root.mark_as_root()
        header = PlanHeader.create(["experiment=large"], [project / "conf"], plan.study.settings, project)
        write_plan(plan.folder, header, plan.descriptions)
        codes = record_codes(plan.folder)
        writers = [EventWriter(plan.folder.events_folder) for _ in range(WORKERS)]
        now, count = time.time(), len(plan.descriptions)
        for number, job in enumerate(plan.descriptions):
            clock.time.return_value = now - (1 - number / count) * DAYS * 24 * 3600
            finish(plan.folder, job, codes[number % len(codes)], writers[number * WORKERS // count])
    os.sync()


def forget(folder: Path) -> str:
    """Have the kernel forget what it read below ``folder``; return what it forgot."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        for path in folder.rglob("*.jsonl"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return "the ledger's contents"
    return "the kernel's caches"


def scan(project: Path) -> None:
    """Parse every line of the ledger and ask for the size of every published table, and nothing else."""
    subprocess.run([sys.executable, "-c", SCAN, project / "runs"], check=True)


def at_rest(project: Path, case: Case, jobs: int, rounds: int) -> list[Figure]:
    """Measure a command on a study that nothing has changed for a while."""
    forgotten = forget(project)
    shutil.rmtree(project / "runs" / "large" / "cache", ignore_errors=True)
    cold = seconds(lambda: seedfold(project, *case.arguments))
    (unchanged,) = medians(rounds, lambda: seedfold(project, *case.arguments))
    name = f"{case.name}, {jobs:,} done"
    return [
        Figure(f"{name}, first, without {forgotten}", cold, most=case.cold_s),
        Figure(f"{name}, nothing changed", unchanged, most=case.unchanged_s),
    ]


def after_changes(project: Path, case: Case, jobs: int, rounds: int) -> Figure:
    """Measure a command that finds something new each time."""
    warm, scanned = medians(rounds, lambda: look_after_a_change(project, case), lambda: scan(project))
    return Figure(f"{case.name}, {jobs:,} done, warm", warm, scanned, "scan of the files", most=case.warm_s)


def look_after_a_change(project: Path, case: Case) -> None:
    """Run a command after something was added to the ledger."""
    added = project / "runs" / "large" / "events" / f"change-{time.time_ns()}.jsonl"
    added.touch()
    # Of files of the last minute nothing is kept: they may change again without another time.
    os.utime(added, (time.time() - 3600,) * 2)
    seedfold(project, *case.arguments)


def memory(project: Path, case: Case, jobs: int) -> Figure:
    """Measure how much memory a command takes that reads what was kept."""
    used = peak_bytes(project, *case.arguments)
    return Figure(f"{case.name}, {jobs:,} done, memory", used, unit="B", most=MOST_MEMORY)


def page(project: Path, jobs: int) -> list[Figure]:
    """Measure the first and the second answer of a fresh ``seedfold serve`` to each question of a first view."""
    return [figure for name, question in QUESTIONS.items() for figure in answers(project, name, question, jobs)]


def answers(project: Path, name: str, question: str, jobs: int) -> list[Figure]:
    """Measure two answers to a question, and the memory of the server after the first."""
    token = "token-of-the-benchmark"
    command = [str(SEEDFOLD), "serve", "--root", str(project / "runs"), "--port", "0", "--token", token]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(found[0] for line in server.stdout if (found := ADDRESS.search(line)))
            asked = Request(f"{address}/api/studies{question}", headers={"Authorization": f"Bearer {token}"})
            first = seconds(lambda: urlopen(asked).read())
            memory = int(MEMORY.findall(Path(f"/proc/{server.pid}/status").read_text())[0]) * 1024
            second = seconds(lambda: urlopen(asked).read())
        finally:
            server.terminate()
    name = f"page, {name}, {jobs:,} done"
    return [
        Figure(f"{name}, first", first, most=3),
        Figure(f"{name}, second", second, most=0.3),
        Figure(f"{name}, memory", memory, unit="B", most=MOST_MEMORY_OF_PAGE),
    ]


def measure(quick: bool) -> list[Figure]:
    """Make the study, and look at it."""
    jobs, rounds = (500, 1) if quick else (100_000, 3)
    cases = CASES[::2] if quick else CASES
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary)
        make_study(project, jobs)
        # What changed a moment ago may change again without another time, so nothing is kept of it.
        time.sleep(0 if quick else SETTLED_S)
        found = [figure for case in cases for figure in at_rest(project, case, jobs, rounds)]
        found += [after_changes(project, case, jobs, rounds) for case in cases]
        found += [memory(project, case, jobs) for case in cases[:3]]
        return [*found, *page(project, jobs)]


if __name__ == "__main__":
    main(measure)
