"""LSF for every program that uses submitit: ``submitit.AutoExecutor(folder, cluster="lsf")``.

Every such program imports this module, with or without LSF, so that it imports other modules only when they are needed.
No parameter has the same name as one of another executor, because submitit would pass it to the wrong one.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from submitit.core import core, job_environment, logger, utils

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.lsf.directives import JobRequest

_END_STATES = ("DONE", "EXIT", "GONE")
# A requeued job is listed as ended for a moment.
_CONFIRM_END_S = 5.0
_TIMEOUT_S = 60
_REQUEUE_WAIT_S = 60.0
_JOB_NOT_FOUND = re.compile(r"Job <(\d+)(?:\[(\d+)\])?> is not found")


class LsfInfoWatcher(core.InfoWatcher):
    """Queries `bjobs` for all jobs at once."""

    def __init__(self, delay_s: int = 60) -> None:
        super().__init__(delay_s)
        self._ended_since: dict[str, float] = {}

    def _make_command(self) -> list[str] | None:
        numbers = sorted({job.partition("_")[0] for job in self._registered - self._finished})
        if not numbers:
            return None
        # The command fails if one of the jobs is unknown, but still lists the others.
        shell = f'LSB_NTRIES=1 timeout {_TIMEOUT_S} bjobs -a -w "$@" 2>&1; true'
        return ["bash", "-c", shell, "bjobs", *numbers]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """Return the listed information of each job, by submitit's id of the job."""
        from seedfold.orchestrator.schedulers.lsf.bjobs_rows import parse_table

        text = string.decode(errors="replace") if isinstance(string, bytes) else string
        infos = {
            _submitit_job_id(row.id, row.index): {
                "JobID": _submitit_job_id(row.id, row.index),
                "State": row.state,
                "NodeList": row.host,
            }
            for row in parse_table(text)[0]
        }
        for number, _ in _JOB_NOT_FOUND.findall(text):
            for job in self._registered - infos.keys():
                if job.partition("_")[0] == number:
                    infos[job] = {"JobID": job, "State": "GONE"}
        self._record_end_times(infos)
        return infos

    def _record_end_times(self, infos: dict[str, dict[str, str]]) -> None:
        for job, info in infos.items():
            if info["State"] in _END_STATES:
                self._ended_since.setdefault(job, time.monotonic())
            else:
                self._ended_since.pop(job, None)

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        """LSF's word for the state; ``UNKNOWN`` if it gives none, and ``GONE`` for jobs that it has forgotten."""
        return self.get_info(job_id, mode=mode).get("State") or "UNKNOWN"

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether the job has ended and will not start again.

        Jobs that wait, are suspended or cannot be seen have not ended.
        """
        if self.get_state(job_id, mode=mode) not in _END_STATES:
            return False
        return time.monotonic() - self._ended_since.get(job_id, time.monotonic()) >= _CONFIRM_END_S


def _submitit_job_id(job_number: str, index: int) -> str:
    """submitit's id of a job: ``105``, or ``105_3`` for an element of an array."""
    return f"{job_number}_{index}" if index else job_number


def lsf_job_id(job_id: str) -> str:
    """LSF's id of a job: ``105``, or ``105[3]`` for an element of an array."""
    job_number, _, index = job_id.partition("_")
    return f"{job_number}[{index}]" if index else job_number


class LsfJob(core.Job[core.R]):
    """A job of LSF."""

    _cancel_command = "bkill"
    watcher = LsfInfoWatcher()

    def cancel(self, check: bool = True) -> None:
        """End the job, or take it out of the queue."""
        (subprocess.check_call if check else subprocess.call)([self._cancel_command, lsf_job_id(self.job_id)])

    def _interrupt(self, timeout: bool = False) -> None:
        """Send the warning that comes before a time limit."""
        subprocess.check_call(["bkill", "-s", LsfJobEnvironment.USR_SIG, lsf_job_id(self.job_id)])


class LsfJobEnvironment(job_environment.JobEnvironment):
    """The environment of a job of LSF. Jobs have one task."""

    _env = {
        "job_id": "LSB_JOBID",
        "array_job_id": "LSB_JOBID",
        "array_task_id": "LSB_JOBINDEX",
        "num_tasks": "SUBMITIT_LSF_TASKS",
        "num_nodes": "SUBMITIT_LSF_NODES",
        "node": "SUBMITIT_LSF_NODE",
        "global_rank": "SUBMITIT_LSF_RANK",
        "local_rank": "SUBMITIT_LSF_LOCAL_RANK",
    }

    @property
    def array_job_id(self) -> str | None:
        """The number of the array; None for a job that is not an array, whose index is 0."""
        return self.raw_job_id if self.array_task_id else None

    @property
    def array_task_id(self) -> str | None:
        """The index in the array, which begins with 1; None outside of arrays."""
        index = os.environ.get(self._env["array_task_id"], "0")
        return index if index.isdigit() and int(index) else None

    @property
    def hostnames(self) -> Sequence[str]:
        """The hosts of the job."""
        return list(dict.fromkeys(os.environ.get("LSB_HOSTS", "").split())) or [self.hostname]

    def _requeue(self, countdown: int) -> None:
        lsf_id = lsf_job_id(self.job_id)
        requeue_and_wait(lsf_id, _TIMEOUT_S)
        logger.get_logger().info(f"Requeued job {lsf_id} ({countdown} remaining timeouts)")


def requeue_and_wait(lsf_id: str, timeout_s: float) -> None:
    """Requeue the job of this process, and wait until LSF ends it.

    If the job ended by itself at that moment, it might not start again. Raises CalledProcessError if LSF refuses.
    """
    from seedfold.orchestrator.schedulers.lsf import queries

    subprocess.run(["brequeue", lsf_id], env=queries.clean_environment(), timeout=timeout_s, check=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    time.sleep(_REQUEUE_WAIT_S)


class LsfExecutor(core.PicklingExecutor):
    """Submits functions to LSF, several at a time as arrays.

    Besides the parameters of all executors (``timeout_min``, ``mem_gb``, ``cpus_per_task``, ``gpus_per_node``,
    ``name``) it has these, each with ``lsf_`` in front for `submitit.AutoExecutor`:

    - ``queue``, ``project``, ``job_group``, ``notify`` (an address), ``after`` (ids of jobs that have to end before)
    - ``select`` and ``rusage``: the text in the brackets of a resource requirement
    - ``running_limit``: how many elements of an array run at a time
    - ``warning_min``: minutes before the limit at which the job is asked for a checkpoint
    - ``before``: lines of shell before the work; ``bsub``: other options of `bsub`, such as ``{"app": "x"}``
    - ``dialect``: ``lsf10``, ``classic`` or ``auto``; ``memory_unit`` and ``gpu_resource`` are for ``classic``: the
      unit of numbers without one, ``KB``, ``MB`` or ``GB``, and the name of the resource for GPUs
    """

    job_class = LsfJob

    def __init__(
        self,
        folder: Path | str,
        max_num_timeout: int = 3,
        max_pickle_size_gb: float = 1.0,
        python: str | None = None,
    ) -> None:
        super().__init__(folder, max_num_timeout=max_num_timeout, max_pickle_size_gb=max_pickle_size_gb)
        self.python = shlex.quote(sys.executable) if python is None else python
        self._array_size: int | None = None

    @classmethod
    def affinity(cls) -> int:
        """Used if there is a `bsub`."""
        return -1 if shutil.which("bsub") is None else 2

    @classmethod
    def _valid_parameters(cls) -> set[str]:
        return set(_DEFAULT_PARAMETERS)

    def _internal_update_parameters(self, **kwargs: Any) -> None:
        unknown = sorted(set(kwargs) - set(_DEFAULT_PARAMETERS) - _GENERIC_PARAMETERS)
        if unknown:
            known = ", ".join(sorted(_DEFAULT_PARAMETERS))
            raise ValueError(f"Unavailable parameter(s): {', '.join(unknown)}; known parameters: {known}")
        for name in ("nodes", "tasks_per_node"):
            if kwargs.get(name, 1) != 1:
                raise ValueError(f"{name}: jobs on LSF have one task on one host")
        super()._internal_update_parameters(**kwargs)

    def _internal_process_submissions(self, delayed_submissions: list[utils.DelayedSubmission]) -> list[core.Job[Any]]:
        if len(delayed_submissions) == 1:
            return list(super()._internal_process_submissions(delayed_submissions))
        pickles = [self._dump_pickle(delayed) for delayed in delayed_submissions]
        self._throttle()
        self._array_size = len(pickles)
        try:
            first = self._submit_command(self._submitit_command_str)
        finally:
            self._array_size = None
        jobs = [self.job_class(self.folder, f"{first.job_id}_{index}") for index in range(1, len(pickles) + 1)]
        for job, pickle in zip(jobs, pickles, strict=True):
            job.paths.move_temporary_file(pickle, "submitted_pickle")
        return list(jobs)

    def _dump_pickle(self, delayed: utils.DelayedSubmission) -> Path:
        folder = utils.JobPaths.get_first_id_independent_folder(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = Path(folder, f"{uuid.uuid4().hex}.pkl")
        delayed.set_timeout(self.parameters.get("timeout_min", 5), self.max_num_timeout)
        delayed.dump(path)
        return path

    @property
    def _submitit_command_str(self) -> str:
        # Python replaces the shell, so that Python receives the warning signal.
        return f"exec {self.python} -u -m submitit.core._submit {shlex.quote(str(self.folder))}"

    def _num_tasks(self) -> int:
        return 1

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        output, errors = (self._log_path(name) for name in ("stdout", "stderr"))
        redirect = [f"exec >> {_shell_path(output)} 2>> {_shell_path(errors)}"]
        if self.parameters.get("stderr_to_stdout"):
            redirect = [f"exec >> {_shell_path(output)} 2>&1"]
        request = self._job_request(output.replace("%A", "%J").replace("%a", "%I"))
        return make_script(request, [*redirect, *self._parameter_or_default("before")], command)

    def _log_path(self, name: str) -> str:
        """The path of a log, with ``%A`` for the number and ``%a`` for the index."""
        path = str(getattr(utils.JobPaths(self.folder), name)).replace("%t", "0")
        return path.replace("%j", "%A" if self._array_size is None else "%A_%a")

    def _parameter_or_default(self, name: str) -> Any:
        return self.parameters.get(name, _DEFAULT_PARAMETERS[name])

    def _job_request(self, output: str) -> JobRequest:
        from seedfold.orchestrator.schedulers.lsf import directives, queries

        parameters, own_parameter = self.parameters, self._parameter_or_default
        memory = parameters.get("mem_gb")
        dialect = queries.find_dialect(_TIMEOUT_S) if own_parameter("dialect") == "auto" else own_parameter("dialect")
        unit = own_parameter("memory_unit")
        return directives.JobRequest(
            name=re.sub(r"[^\w.-]", "_", parameters.get("name", "submitit"), flags=re.ASCII),
            output=output if directives.is_safe(output) else "/dev/null",
            dialect=dialect,
            array_size=self._array_size,
            throttle=own_parameter("running_limit"),
            cpus=parameters.get("cpus_per_task", 1),
            memory_mb=None if memory is None else round(1024 * memory),
            minutes=parameters.get("timeout_min", 5),
            warning_min=own_parameter("warning_min"),
            gpus=parameters.get("gpus_per_node", 0),
            gpu_resource=own_parameter("gpu_resource"),
            select=tuple(filter(None, [own_parameter("select")])),
            rusage=tuple(filter(None, [own_parameter("rusage")])),
            dependencies=tuple(map(str, own_parameter("after"))),
            queue=own_parameter("queue"),
            project=own_parameter("project"),
            job_group=own_parameter("job_group"),
            mail=own_parameter("notify"),
            memory_unit=directives.read_memory_unit() if unit == "auto" else unit,
            options=own_parameter("bsub"),
        )

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        from seedfold.orchestrator.schedulers.lsf import queries

        # A shell never parses what `bsub` reads from its standard input.
        unset = " ".join(sorted(set(os.environ) - set(queries.clean_environment())))
        return ["bash", "-c", f'unset _ {unset}; exec bsub < "$1"', "bsub", str(submission_file_path)]

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        from seedfold.orchestrator.schedulers.lsf.bsub_reply import parse_job_number

        text = string.decode(errors="replace") if isinstance(string, bytes) else string
        number = parse_job_number(text)
        if number is None:
            raise utils.FailedSubmissionError(f"bsub gave no number: {text!r}")
        return number


_GENERIC_PARAMETERS = {*core.EquivalenceDict.__annotations__, "stderr_to_stdout"}
_DEFAULT_PARAMETERS: dict[str, Any] = {
    "queue": None,
    "project": None,
    "job_group": None,
    "notify": None,
    "after": (),
    "select": None,
    "rusage": None,
    "running_limit": None,
    "warning_min": 2,
    "before": (),
    "bsub": {},
    "dialect": "auto",
    "memory_unit": "auto",
    "gpu_resource": None,
}


def make_script(request: JobRequest, setup: Sequence[str], command: str) -> str:
    """Return the text for the standard input of `bsub`."""
    from seedfold.orchestrator.schedulers.lsf import directives

    lines = ["#!/bin/bash", *directives.directive_lines(request), "", *setup, "export SUBMITIT_EXECUTOR=lsf", command]
    return "\n".join(lines) + "\n"


def _shell_path(path: str) -> str:
    """A path as a word of the shell, with the job's own number and index in place of ``%A`` and ``%a``."""
    variables = {"%A": '"${LSB_JOBID}"', "%a": '"${LSB_JOBINDEX}"'}
    parts = re.split("(%A|%a)", path)
    return "".join(variables.get(part) or (shlex.quote(part) if part else "") for part in parts)
