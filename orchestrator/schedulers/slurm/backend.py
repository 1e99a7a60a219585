"""SLURM as a backend: script options, submission, one question for all tasks, cancelling."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UnreachableError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.submissions import Array, Submission
from seedfold.orchestrator.schedulers.backend import Answer, RefusedError, TaskState
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.schedulers.slurm import capabilities as offer
from seedfold.orchestrator.schedulers.slurm import queries
from seedfold.orchestrator.schedulers.task_request import (
    gpu_count,
    keeper_name,
    memory_mib,
    name_of,
    setup_lines,
    time_limit_s,
    warning_s,
)
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.scheduler import Batch

_KEEPER_MIN = 30
_LATER_S = 120
_MOST_NAMES = 200


class Slurm:
    """The cluster whose `sbatch` is on the path."""

    def __init__(self, cluster: Cluster) -> None:
        assert cluster.batch is not None
        self._batch = cluster.batch
        self._timeout_s = float(cluster.batch.query_timeout_s)

    def largest_array(self) -> int:
        """``MaxArraySize``, which bounds the index as well."""
        return int(queries.setting("MaxArraySize", self._timeout_s) or 1001)

    def check(self, submission: Submission) -> None:
        """See `Backend.check`."""
        executor = self._executor(submission.folder)
        try:
            executor.test(self._prepare(executor, submission, ()))
        except RefusedError as error:
            raise self._helpful(error) from None

    def submit(self, submission: Submission, after: Sequence[str]) -> str:
        """See `Backend.submit`."""
        executor = self._executor(submission.folder)
        return str(executor.send(self._prepare(executor, submission, after)))

    def submit_keeper(self, submission: Submission, after: str | None, call: Callable[[str, str], None]) -> None:
        """See `Backend.submit_keeper`."""
        study = submission.folder.parents[1]
        executor = self._executor(submission.folder / "keeper")
        asked = {
            "job_name": keeper_name(submission),
            "mem": "1G",
            "cpus_per_task": 1,
            "requeue": True,
            "open-mode": "append",
            **({"begin": f"now+{_LATER_S}"} if after is None else {"dependency": f"afterany:{after}"}),
            **site_options(self._batch),
        }
        options = {
            "time": _KEEPER_MIN,
            "setup": setup_lines(self._batch, submission),
            "throttle": None,
            "count": None,
            "log": "keeper.log",
            "sbatch": asked,
        }
        executor.send(executor.prepare(call, [str(study.parent), study.name], options))

    def submit_probe(self, folder: Path, call: Callable[..., None], args: Sequence[str], resources: Resources) -> str:
        """See `Backend.submit_probe`."""
        batch = self._batch.for_resources(resources)
        asked = {"job_name": "seedfold-probe", "mem": "2G", "cpus_per_task": 1, **site_options(batch), **batch.options}
        if resources.gpus:
            asked["gres"] = "gpu:1"
        options = {
            "time": 2,
            "setup": batch.setup,
            "throttle": None,
            "count": None,
            "log": "probe.log",
            "sbatch": asked,
        }
        executor = self._executor(folder)
        try:
            return str(executor.send(executor.prepare(call, args, options)))
        except RefusedError as error:
            raise self._helpful(error) from None

    def _helpful(self, error: RefusedError) -> RefusedError:
        """A refusal with what there is instead."""
        said = offer.clean(str(error))
        return RefusedError(f"{said}; {offer.of_use(said, self._timeout_s)}", error.full)

    def _executor(self, folder: Path) -> Any:
        from seedfold.orchestrator.schedulers.slurm.executor import ArrayExecutor

        python = shlex.quote(self._batch.python or sys.executable)
        return ArrayExecutor(folder, python, self._batch.wrapper, self._timeout_s)

    def _prepare(self, executor: Any, submission: Submission, after: Sequence[str]) -> Any:
        from seedfold.orchestrator.schedulers.slurm.worker_environment import work_in_task

        array = submission.array
        assert array is not None
        batch = self._batch.for_resources(array.resources)
        batch = replace(batch, exclude=(*batch.exclude, *array.exclude))
        limit, warning = time_limit_s(array, batch), warning_s(array, batch)
        options = {
            "time": -(-limit // 60),
            "setup": setup_lines(batch, submission),
            "throttle": batch.throttle,
            "count": submission.task_count,
            "log": "%A_%a.log",
            "sbatch": request(submission, array, batch, after, warning),
        }
        return executor.prepare(work_in_task, [str(submission.folder), float(limit), float(warning)], options)

    def ask(self, submissions: Iterable[Submission]) -> Answer:
        """See `Backend.ask`. Tasks that have left the queue are looked up in accounting, where there is any."""
        by_name = {name_of(submission): submission for submission in submissions}
        names = list(by_name)
        rows: dict[str, list[queries.Row]] = {name: [] for name in names}
        for start in range(0, len(names), _MOST_NAMES):
            for row in queries.queue(names[start : start + _MOST_NAMES], self._timeout_s):
                if row.name not in rows:
                    raise UnreachableError(f"squeue spoke of {row.name}, which nobody asked for")
                rows[row.name].append(row)
        found = {one.token: _of_one_array(rows[name], one.scheduler_id()) for name, one in by_name.items()}
        self._look_up_ended(by_name, found)
        return found

    def _look_up_ended(self, by_name: dict[str, Submission], found: dict[str, dict[int, TaskState]]) -> None:
        """Ask accounting about arrays with tasks that are not in the queue, or that failed there for unknown reason."""
        asked = []
        for submission in by_name.values():
            states, number = found[submission.token], submission.scheduler_id()
            unclear = any(state.phase == "ending" for state in states.values())
            if number is not None and (unclear or len(states) < submission.task_count):
                asked.append(number)
        rows = queries.accounted(asked, self._timeout_s) if asked else []
        for row in rows or ():
            submission_of = by_name.get(row.name)
            if submission_of is None or row.state.id != submission_of.scheduler_id():
                continue
            states = found[submission_of.token]
            if row.index not in states or states[row.index].phase == "ending":
                states[row.index] = row.state
        if rows is None:
            # There is no accounting, so that nobody will ever know more.
            for states in found.values():
                states.update(
                    {index: replace(state, phase="ended") for index, state in states.items() if state.phase == "ending"}
                )

    def cancel(self, submission: Submission, tasks: Iterable[int]) -> None:
        """See `Backend.cancel`."""
        number = submission.scheduler_id()
        listed = [f"{number}_{index}" for index in tasks]
        if number is not None and listed:
            queries.ask(["scancel", f"--name={name_of(submission)}", *listed], self._timeout_s)

    def look_at(self, number: str) -> tuple[str, str]:
        """See `Backend.look_at`."""
        said = queries.run(["squeue", "-h", "-j", number, "-o", "%T|%r"], self._timeout_s).stdout.strip()
        word, _, reason = said.partition("|")
        return word, reason

    def findings(self) -> Iterator[Finding]:
        """See `Backend.findings`."""
        yield from offer.findings(self._timeout_s)

    def log_name(self, number: str | None, index: int) -> str:
        """See `Backend.log_name`."""
        return f"{number}_{index}.log"


def _of_one_array(rows: Sequence[queries.Row], number: str | None) -> dict[int, TaskState]:
    """The tasks of the array that counts: one whose answer was lost may have been sent twice."""
    counts = number or min((row.state.id for row in rows), key=int, default=None)
    return {row.index: row.state for row in rows if row.state.id == counts}


def request(submission: Submission, array: Array, batch: Batch, after: Sequence[str], warning: int) -> dict[str, Any]:
    """What `sbatch` is asked for. One task holds ``side_by_side`` jobs and the template that they are forked from."""
    asked: dict[str, Any] = {"job_name": name_of(submission)}
    if after:
        asked |= {"dependency": f"afterany:{':'.join(after)}", "kill-on-invalid-dep": "yes"}
    return asked | needs(array, batch, Cluster.parse(submission.settings["cluster"]).jobs_per_gpu, warning)


def needs(array: Array, batch: Batch, per_gpu: int, warning: int) -> dict[str, Any]:
    """What one task needs, and what the site wants of all."""
    resources, together = array.resources, array.side_by_side
    asked: dict[str, Any] = {
        "cpus_per_task": resources.cpus * together,
        "mem": f"{memory_mib(array)}M",
        "signal": f"B:USR2@{warning}",
        "requeue": True,
        "open-mode": "append",
    }
    if resources.gpus:
        kind = f"{batch.gpu_type()}:" if batch.gpu_type() else ""
        asked["gres"] = f"gpu:{kind}{gpu_count(array, per_gpu)}"
    if batch.mail:
        asked |= {"mail-user": batch.mail, "mail-type": "END,FAIL"}
    return {**asked, **site_options(batch), **batch.options}


def site_options(batch: Batch) -> dict[str, Any]:
    """Where a site wants a job to go, as options of `sbatch`."""
    given = {"partition": batch.partition, "account": batch.account, "qos": batch.qos}
    given |= {"constraint": batch.constraint, "exclude": ",".join(batch.exclude) or None}
    return {key: value for key, value in given.items() if value is not None}
