"""What grows when a site gets large: ten users with 100,000 jobs each on a simulated SLURM, one job a task.

The scheduler is simulated (`benchmarks/_schedulers.py`), and the workers of most tasks do not run: what they leave in
the ledger is written as they write it. Commands, keepers and some workers are real. The studies share a root, as those
of a group do. Each user has 1,000 tasks in the queue, a tenth of these running, and half of the jobs done; only the
first user's jobs have results. What is counted does not depend on the machine: programs of the scheduler, calls of the
file system below the root (with strace, where it is installed), and files. Seconds are of one processor.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from benchmarks._figures import Figure, main
from benchmarks._projects import SEEDFOLD, write_study
from benchmarks._schedulers import SimulatedSlurm
from seedfold.orchestrator.code.code_records import record_code
from seedfold.orchestrator.ledger.claims import claim_attempt
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import done_event_details
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.task_scope import events_prefix
from seedfold.orchestrator.schedulers.task_request import array_name
from seedfold.results.store.published import publish

CLUSTER = ("cluster=slurm", "cluster.snapshot=false", "cluster.settle_s=1")
CALLS = "%file,%desc,fsync,fdatasync"
DATA_CALLS = {"read", "pread64", "write", "pwrite64", "close", "lseek", "fsync", "ftruncate"}
LAUNCH = (str(SEEDFOLD), "launch", "--config-dir", "conf")
TASK = """
import sys
from seedfold.orchestrator.schedulers.slurm.worker_environment import work_in_task

work_in_task(sys.argv[1], 3600.0, 60.0)
"""


@dataclass(frozen=True)
class Sizes:
    """How many users there are, how many jobs each has, how many tasks of each may be queued and are done."""

    users: int
    jobs: int
    queued: int
    done: int


@dataclass(frozen=True)
class User:
    """One user: a study of the shared root, and what the scheduler lets this user queue."""

    name: str
    project: Path
    root: Root
    slurm: SimulatedSlurm

    @property
    def study(self) -> StudyFolder:
        """The user's study."""
        return self.root.study_folder(self.name)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the user's commands."""
        own = {"SEEDFOLD_ROOT": str(self.root.path), "HOME": str(self.project), "PYTHONPATH": str(self.project)}
        return {**os.environ, **own, "PATH": f"{self.slurm.folder / 'bin'}:{os.environ['PATH']}"}

    def arrays(self) -> list[Submission]:
        """The arrays, in the order in which they are to be sent."""
        found = [Submission.read(folder) for folder in self.study.submissions_folder.iterdir()]
        return sorted(found, key=lambda one: one.created)


def make_user(folder: Path, name: str, sizes: Sizes) -> User:
    """Write a study of trivial jobs, and the programs of the scheduler."""
    user = User(name, folder / name, Root(folder / "runs"), SimulatedSlurm(folder / f"slurm-{name}"))
    # Without a setting of their own, the users' jobs would be the same, and each would be run once.
    content = {"run": "trivial.run", "owner": name, "matrix": {"seed": f"range(0,{sizes.jobs})"}}
    write_study(user.project, name, content)
    replace(user.slurm, most_queued=sizes.queued).install()
    return user


@dataclass(frozen=True)
class Cost:
    """What a command took: processor time, memory, programs of the scheduler, calls of the file system by name."""

    seconds: float
    bytes: int
    programs: int
    calls: Counter[str]

    def figures(self, name: str) -> list[Figure]:
        """Return the figures."""
        metadata = sum(count for call, count in self.calls.items() if call not in DATA_CALLS)
        found = [
            Figure(f"{name}: processor time", self.seconds),
            Figure(f"{name}: memory", self.bytes, unit="B"),
            Figure(f"{name}: programs of the scheduler", self.programs, unit="calls"),
            Figure(f"{name}: names, attributes and lists of files", metadata, unit="calls"),
            Figure(f"{name}: reads and writes", self.calls.total() - metadata, unit="calls"),
        ]
        return found if self.calls else found[:3]


def cost(user: User, *command: str, traced: bool = True, **variables: str) -> Cost:
    """Run a command for its time and memory, and, if it is to be traced, again for its calls below the root."""
    user.slurm.take_calls()
    seconds, memory = run(user, command, variables)
    programs = user.slurm.take_calls().total()
    calls = trace(user, command, variables) if traced and shutil.which("strace") else Counter[str]()
    return Cost(seconds, memory, programs, calls)


def run(user: User, command: Sequence[str], variables: Mapping[str, str]) -> tuple[float, int]:
    """Run a command; return the seconds of processor time that it and its children took, and its peak of memory."""
    environment = {**user.environment, **variables}
    process = subprocess.Popen(command, cwd=user.project, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def trace(user: User, command: Sequence[str], variables: Mapping[str, str]) -> Counter[str]:
    """Run a command under strace; return its calls of the file system below the root, by name."""
    log = user.project / "calls.txt"
    run(user, ["strace", "-f", "-y", "-qq", "-e", f"trace={CALLS}", "-o", str(log), *command], variables)
    of_root = re.compile(rf'^\d+ +(\w+)\([^=]*?["<]{re.escape(str(user.root.path))}')
    with log.open(errors="replace") as lines:
        return Counter(match[1] for line in lines if (match := of_root.match(line)))


def launch(user: User, sizes: Sizes) -> Cost:
    """Launch the study of a user."""
    limit = f"cluster.max_submitted={sizes.queued}"
    return cost(user, *LAUNCH, f"experiment={user.name}", *CLUSTER, limit, traced=False)


def end_tasks(user: User, submission: Submission, first: int, end: int, has_results: bool, code: str) -> None:
    """Do what the workers of tasks with one job each leave behind."""
    process = ProcessIdentity.current().to_dict()
    for index in range(first, end):
        (job,) = submission.jobs_of_task(index)
        submission.tasks.record_start(index, 0)
        events = EventWriter(user.study.events_folder, events_prefix(submission.token, index))
        claim_attempt(user.root, user.study, job, 1, submission.token, (index, 0))
        events.append("started", job=job, n=1, process=process)
        staging, final = user.study.job_folder(job) / "staging.1", user.study.result_folder(job, 1)
        record = {"id": job, "study": user.name, "stage": user.name, "axes": {}, "run": "trivial.run", "attempt": 1}
        record |= {"parents": {}, "reads": {}, "code": code, "started": time.time() - 1, "ended": time.time()}
        record |= {"config": {}, "provenance": {"host": "n1"}}
        if has_results:
            staging.mkdir(parents=True)
            (staging / "answer.txt").write_text(job)
            events.append("done", **done_event_details(job, 1, publish(staging, final, record), final))
            staging.parent.rmdir()
        else:
            details = {"seconds": 1.0, "parents": {}, "reads": {}, "code": code, "files": {}, "result": {}}
            events.append("done", job=job, n=1, **details, host="n1", usage={})
        events.close()
        submission.tasks.record_end(index, 0, by="worker", closed=False, closed_after={})


def work(user: User, sizes: Sizes, has_results: bool) -> None:
    """Have the tasks of a user's arrays end, as many as are to be done, and have the next arrays sent meanwhile."""
    code, left = record_code(user.study, "trivial.run"), sizes.done
    for submission in user.arrays():
        count = min(left, submission.task_count)
        if submission.scheduler_id() is None:
            run(user, [str(SEEDFOLD), "advance", user.name], {})
        with patch("os.fsync"):
            end_tasks(user, submission, 0, count, has_results, code)
        user.slurm.end_tasks(array_name(submission), 0, count)
        left -= count
        if not left:
            user.slurm.start_tasks(array_name(submission), count, count + sizes.queued // 10)
            return


def run_next_task(user: User) -> Cost:
    """Have a worker run a task that the scheduler has started, and another one under strace."""
    submission = [one for one in user.arrays() if one.scheduler_id() is not None][-1]
    waiting = [index for index in range(submission.task_count) if index not in submission.tasks.records()]
    command = [sys.executable, "-c", TASK, str(submission.folder)]
    array = {"SLURM_ARRAY_JOB_ID": str(submission.scheduler_id())}
    seconds, memory = run(user, command, {**array, "SLURM_ARRAY_TASK_ID": str(waiting[0])})
    has_strace = shutil.which("strace") is not None
    calls = trace(user, command, {**array, "SLURM_ARRAY_TASK_ID": str(waiting[1])}) if has_strace else Counter[str]()
    return Cost(seconds, memory, 0, calls)


def largest_folder(root: Path) -> int:
    """Return the number of names in the largest folder below a root."""
    return max(len(folders) + len(files) for _, folders, files in os.walk(root))


def compare(folder: Path, sizes: Sizes) -> list[Figure]:
    """Make the studies, and look at the first one."""
    users = [make_user(folder, f"user{number}", sizes) for number in range(sizes.users)]
    launched = [launch(user, sizes) for user in users]
    first = users[0]
    files = sum(len(names) for _, _, names in os.walk(first.study.path))
    for user in users[1:]:
        work(user, replace(sizes, done=sizes.done // 10), has_results=False)
    work(first, sizes, has_results=True)
    name = f"{sizes.users} x {sizes.jobs:,} jobs"
    seedfold = str(SEEDFOLD)
    cost(first, seedfold, "advance", first.name, traced=False)
    return [
        *launched[0].figures(f"launch, {name}"),
        Figure(f"launch, {name}: files", files, unit="files"),
        *cost(first, seedfold, "advance", first.name).figures(f"advance, {name}"),
        *cost(first, seedfold, "status", first.name).figures(f"status, {name}"),
        *run_next_task(first).figures(f"a task, {name}"),
        Figure(f"{name}: names in the largest folder", largest_folder(first.study.path), unit="files"),
    ]


def measure(quick: bool) -> list[Figure]:
    """Measure at a site with a million jobs, or a small one."""
    sizes = Sizes(2, 60, 40, 30) if quick else Sizes(10, 100_000, 1000, 50_000)
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), sizes)


if __name__ == "__main__":
    main(measure)
