"""SLURM as a backend: script options, submission, one query for all tasks, cancelling."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.errors import UnreachableError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.submissions import Submission, TaskArray
from seedfold.orchestrator.schedulers.answer_numbers import is_whole
from seedfold.orchestrator.schedulers.backend import RefusedError, StatusReply, TaskState
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.schedulers.slurm import capabilities, queries
from seedfold.orchestrator.schedulers.submission_attempts import last_attempt
from seedfold.orchestrator.schedulers.task_request import (
    array_name,
    gpu_count,
    keeper_name,
    memory_mib,
    setup_lines,
    time_limit_s,
    warning_s,
)
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.scheduler import SchedulerSettings

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.slurm.executor import ArrayExecutor

_KEEPER_LIMIT_MIN = 30
_KEEPER_DELAY_S = 120
_MAX_NAMES = 200
_ENDED = re.compile(r"already finished|invalid job id", re.IGNORECASE)
"""What SLURM says of an array that has ended meanwhile."""


class Slurm:
    """The SLURM cluster whose `sbatch` is on the path."""

    def __init__(self, cluster: ClusterSettings) -> None:
        assert cluster.scheduler is not None
        self._batch = cluster.scheduler
        self._timeout_s = float(cluster.scheduler.query_timeout_s)

    def largest_array(self) -> int:
        """``MaxArraySize``, which also limits the index."""
        found = queries.config_value("MaxArraySize", self._timeout_s) or ""
        return int(found) if is_whole(found) else 1001

    def check_submission(self, submission: Submission) -> None:
        """See `Backend.check_submission`."""
        executor = self._make_executor(submission.folder)
        try:
            executor.test_script(self._write_script(executor, submission, ()))
        except RefusedError as error:
            raise self._add_advice(error) from None

    def submit(self, submission: Submission, after: Sequence[str]) -> str:
        """See `Backend.submit`."""
        executor = self._make_executor(submission.folder)
        script = self._write_script(executor, submission, after)
        try:
            return str(executor.submit_script(script))
        except RefusedError as error:
            raise RefusedError(capabilities.clean_message(str(error)), error.queue_full) from None

    def submit_keeper(
        self, submission: Submission, after: Sequence[str], function: Callable[[str, str, str], None], number: str
    ) -> str:
        """See `Backend.submit_keeper`."""
        study = submission.folder.parents[1]
        executor = self._make_executor(submission.folder / "keeper" / number)
        any_of = "?".join(f"afterany:{array_id}" for array_id in after)
        sbatch_options = {
            "job_name": keeper_name(submission),
            "mem": "1G",
            "cpus_per_task": 1,
            "requeue": True,
            "open-mode": "append",
            **({"dependency": any_of} if after else {"begin": f"now+{_KEEPER_DELAY_S}"}),
            **site_options(self._batch),
        }
        options = {
            "time": _KEEPER_LIMIT_MIN,
            "setup": setup_lines(self._batch, submission),
            "throttle": None,
            "count": None,
            "log": "keeper.log",
            "sbatch": sbatch_options,
        }
        args = [str(study.parent), study.name, number]
        return str(executor.submit_script(executor.write_script(function, args, options)))

    def cancel_keeper(self, submission: Submission, job_number: str) -> None:
        """See `Backend.cancel_keeper`."""
        name = f"--name={keeper_name(submission)}"
        queries.output_of(["scancel", "--state=PENDING", name, job_number], self._timeout_s)

    def submit_probe(
        self, folder: Path, function: Callable[..., None], args: Sequence[str], resources: Resources
    ) -> str:
        """See `Backend.submit_probe`."""
        batch = self._batch.for_resources(resources)
        sbatch_options = {
            "job_name": "seedfold-probe",
            "mem": "2G",
            "cpus_per_task": 1,
            **site_options(batch),
            **batch.options,
        }
        if resources.gpus:
            sbatch_options["gres"] = "gpu:1"
        options = {
            "time": 2,
            "setup": batch.setup,
            "throttle": None,
            "count": None,
            "log": "probe.log",
            "sbatch": sbatch_options,
        }
        executor = self._make_executor(folder)
        try:
            return str(executor.submit_script(executor.write_script(function, args, options)))
        except RefusedError as error:
            raise self._add_advice(error) from None

    def _add_advice(self, error: RefusedError) -> RefusedError:
        """A refusal, with what the cluster offers instead."""
        message = capabilities.clean_message(str(error))
        return RefusedError(f"{message}; {capabilities.advice_on_refusal(message, self._timeout_s)}", error.queue_full)

    def _make_executor(self, folder: Path) -> ArrayExecutor:
        from seedfold.orchestrator.schedulers.slurm.executor import ArrayExecutor

        python = shlex.quote(self._batch.python or sys.executable)
        return ArrayExecutor(folder, python, self._batch.wrapper, self._timeout_s)

    def _write_script(self, executor: ArrayExecutor, submission: Submission, after: Sequence[str]) -> Path:
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
            "sbatch": array_options(submission, array, batch, after, warning),
        }
        return executor.write_script(work_in_task, [str(submission.folder), float(limit), float(warning)], options)

    def query_tasks(self, submissions: Iterable[Submission]) -> StatusReply:
        """See `Backend.query_tasks`.

        Tasks that have left the queue are looked up in accounting, if the cluster has it.
        """
        by_name = {array_name(submission): submission for submission in submissions}
        array_names = list(by_name)
        rows: dict[str, list[queries.TaskRow]] = {name: [] for name in array_names}
        user = _sole_user(by_name.values())
        self._add_rows(rows, array_names, user)
        if user is not None:
            # Whoever is missing among the user's own jobs is looked for among all: much is concluded from it.
            self._add_rows(rows, [name for name in array_names if not rows[name]], None)
        states = {one.token: _states_of_array(rows[name], one.scheduler_id()) for name, one in by_name.items()}
        self._add_accounted_states(by_name, states)
        return states

    def _add_rows(
        self, rows: Mapping[str, list[queries.TaskRow]], array_names: Sequence[str], user: str | None
    ) -> None:
        """Add the queued tasks of these arrays."""
        for start in range(0, len(array_names), _MAX_NAMES):
            for row in queries.queued_tasks(array_names[start : start + _MAX_NAMES], self._timeout_s, user):
                if row.array_name not in rows:
                    raise UnreachableError(f"squeue listed {row.array_name}, which was not asked for")
                rows[row.array_name].append(row)

    def _add_accounted_states(
        self, by_name: dict[str, Submission], states_of_arrays: dict[str, dict[int, TaskState]]
    ) -> None:
        """Query accounting for arrays with tasks that are not in the queue, or that failed for an unknown reason."""
        array_ids = []
        for submission in by_name.values():
            states, number = states_of_arrays[submission.token], submission.scheduler_id()
            unclear = any(state.phase == "ending" for state in states.values())
            if number is not None and (unclear or len(states) < submission.task_count):
                array_ids.append(number)
        rows = queries.accounted_tasks(array_ids, self._timeout_s) if array_ids else []
        for row in rows or ():
            submission_of = by_name.get(row.array_name)
            if submission_of is None or row.state.array_id != submission_of.scheduler_id():
                continue
            states = states_of_arrays[submission_of.token]
            if row.index not in states or states[row.index].phase == "ending":
                states[row.index] = row.state
        if rows is None:
            # Without accounting there will never be more information.
            for states in states_of_arrays.values():
                states.update(
                    {index: replace(state, phase="ended") for index, state in states.items() if state.phase == "ending"}
                )

    def cancel(self, submission: Submission, tasks: Iterable[int]) -> None:
        """See `Backend.cancel`."""
        array_id = submission.scheduler_id()
        task_ids = [f"{array_id}_{index}" for index in tasks]
        if array_id is not None and task_ids:
            queries.output_of(["scancel", f"--name={array_name(submission)}", *task_ids], self._timeout_s)

    def throttle(self, submission: Submission, tasks: int | None) -> None:
        """See `Backend.throttle`."""
        change = ["scontrol", "update", f"JobId={submission.scheduler_id()}", f"ArrayTaskThrottle={tasks or 0}"]
        process = queries.run(change, self._timeout_s)
        message = " ".join((process.stderr + process.stdout).split())
        if process.returncode and not _ENDED.search(message):
            raise UnreachableError(f"scontrol failed: {message or process.returncode}")

    def queue_state(self, job_number: str) -> tuple[str, str]:
        """See `Backend.queue_state`."""
        output = queries.run(["squeue", "-h", "-j", job_number, "-o", "%T|%r"], self._timeout_s).stdout.strip()
        scheduler_state, _, reason = output.partition("|")
        return scheduler_state, reason

    def findings(self) -> Iterator[Finding]:
        """See `Backend.findings`."""
        yield from capabilities.findings(self._timeout_s)

    def log_name(self, number: str | None, index: int) -> str:
        """See `Backend.log_name`."""
        return f"{number}_{index}.log"


def _sole_user(submissions: Iterable[Submission]) -> str | None:
    """The name of the user of this process, if this user has sent all these arrays; else None.

    None for root, too: in some containers everybody is root.
    """
    attempts = map(last_attempt, submissions)
    own = os.getuid()
    if own == 0 or any(attempt is None or attempt.user != own for attempt in attempts):
        return None
    try:
        return pwd.getpwuid(own).pw_name
    except KeyError:
        return None


def _states_of_array(rows: Sequence[queries.TaskRow], array_id: str | None) -> dict[int, TaskState]:
    """The tasks of the array that counts. A submission whose reply was lost may have been sent twice."""
    chosen_id = array_id or min((row.state.array_id for row in rows), key=int, default=None)
    return {row.index: row.state for row in rows if row.state.array_id == chosen_id}


def array_options(
    submission: Submission, array: TaskArray, batch: SchedulerSettings, dependencies: Sequence[str], warning: int
) -> dict[str, Any]:
    """The options of `sbatch`.

    One task holds ``side_by_side`` jobs and the template process from which they are forked.
    """
    sbatch_options: dict[str, Any] = {"job_name": array_name(submission)}
    if dependencies:
        sbatch_options |= {"dependency": f"afterany:{':'.join(dependencies)}", "kill-on-invalid-dep": "yes"}
    return sbatch_options | task_options(
        array, batch, ClusterSettings.parse(submission.settings["cluster"]).most_jobs_per_gpu, warning
    )


def task_options(array: TaskArray, batch: SchedulerSettings, per_gpu: int, warning: int) -> dict[str, Any]:
    """What one task needs, and what the site requires of all jobs."""
    resources, side_by_side = array.resources, array.side_by_side
    sbatch_options: dict[str, Any] = {
        "cpus_per_task": resources.cpus * side_by_side,
        "mem": f"{memory_mib(array)}M",
        "signal": f"B:USR2@{warning}",
        "requeue": True,
        "open-mode": "append",
    }
    if resources.gpus:
        kind = f"{batch.choose_gpu_type()}:" if batch.choose_gpu_type() else ""
        sbatch_options["gres"] = f"gpu:{kind}{gpu_count(array, per_gpu)}"
    if batch.mail:
        sbatch_options |= {"mail-user": batch.mail, "mail-type": "END,FAIL"}
    return {**sbatch_options, **site_options(batch), **batch.options}


def site_options(batch: SchedulerSettings) -> dict[str, Any]:
    """The options of `sbatch` that the site requires, such as partition and account."""
    sbatch_options = {"partition": batch.partition, "account": batch.account, "qos": batch.qos}
    sbatch_options |= {"constraint": batch.constraint, "exclude": ",".join(batch.exclude) or None}
    return {key: value for key, value in sbatch_options.items() if value is not None}
