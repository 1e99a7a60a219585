"""LSF as a backend: submission, one query for all tasks, cancelling."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from seedfold.jobs.errors import UnreachableError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.backend import RefusedError, StatusReply
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.schedulers.lsf import bsub_reply, capabilities, queries
from seedfold.orchestrator.schedulers.lsf.bjobs_rows import parse_pending_reasons
from seedfold.orchestrator.schedulers.lsf.directives import JobRequest
from seedfold.orchestrator.schedulers.lsf.task_request import array_request, one_cpu_request, short_job_name
from seedfold.orchestrator.schedulers.lsf.task_states import find_task_states, readable_reason
from seedfold.orchestrator.schedulers.task_request import array_name, keeper_name, setup_lines, time_limit_s, warning_s
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.lsf import LsfSettings

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.lsf.executor import ArrayExecutor

_KEEPER_LIMIT_MIN = 30
_KEEPER_DELAY = timedelta(minutes=3)
_DEFAULT_MAX_ARRAY = 1000
_HARMLESS_ERRORS = re.compile(
    r"operation is in progress|already (been )?finished|is not found|being terminated", re.IGNORECASE
)


class Lsf:
    """The LSF cluster whose `bsub` is on the path."""

    def __init__(self, cluster: ClusterSettings) -> None:
        assert cluster.scheduler is not None
        self._cluster, self._batch = cluster, cluster.scheduler
        self._lsf_settings = cluster.lsf or LsfSettings()
        self._timeout_s = float(cluster.scheduler.query_timeout_s)

    def largest_array(self) -> int:
        """``MAX_JOB_ARRAY_SIZE``, which limits the index."""
        if self._lsf_settings.max_array is not None:
            return self._lsf_settings.max_array
        found = re.search(
            r"MAX_JOB_ARRAY_SIZE\s*[=:]?\s*([0-9]{1,18})", queries.site_output(["bparams", "-l"], self._timeout_s)
        )
        return int(found[1]) if found else _DEFAULT_MAX_ARRAY

    def log_name(self, number: str | None, index: int) -> str:
        """See `Backend.log_name`. LSF's indices begin with 1."""
        return f"{number}_{index + 1}.log"

    # --- submitting --------------------------------------------------------------------------------------------------

    def check_submission(self, submission: Submission) -> None:
        """See `Backend.check_submission`.

        LSF has no option to test a submission, and accepts some jobs that it never starts.
        """
        capabilities.check_dialect(self._lsf_settings.dialect, self._timeout_s)
        request = self._array_request(submission)
        self._write_script(submission, request)
        capabilities.check_request(request, self._timeout_s)

    def submit(self, submission: Submission, after: Sequence[str]) -> str:
        """See `Backend.submit`."""
        request = replace(self._array_request(submission), dependencies=tuple(after))
        return self._submit_without_forgotten(request, lambda asked: self._submit_request(submission, asked))

    def submit_keeper(
        self, submission: Submission, after: Sequence[str], function: Callable[[str, str, str], None], number: str
    ) -> str:
        """See `Backend.submit_keeper`."""
        study, executor = submission.folder.parents[1], self._make_executor(submission.folder / "keeper" / number)
        setup, args = setup_lines(self._batch, submission), [str(study.parent), study.name, number]
        request = replace(
            one_cpu_request(self._cluster, self._batch, self._dialect_for(submission)),
            name=short_job_name(keeper_name(submission)),
            memory_mb=1024,
            minutes=_KEEPER_LIMIT_MIN,
            options={},
            dependencies=tuple(after),
            after_any=True,
            begin=None if after else datetime.now() + _KEEPER_DELAY,
        )

        def send(asked: JobRequest) -> str:
            return executor.submit_script(executor.write_script(function, args, asked, setup))

        try:
            return self._submit_without_forgotten(request, send)
        except RefusedError as error:
            array_minutes = self._array_request(submission).minutes or _KEEPER_LIMIT_MIN
            if error.queue_full or array_minutes >= _KEEPER_LIMIT_MIN:
                raise
            # A queue that accepts the jobs also accepts their keeper.
            return self._submit_without_forgotten(replace(request, minutes=array_minutes), send)

    def cancel_keeper(self, submission: Submission, job_number: str) -> None:
        """See `Backend.cancel_keeper`."""
        name = short_job_name(keeper_name(submission))
        rows = queries.list_jobs([job_number], self._dialect_for(submission), self._timeout_s)
        if any(row.has_name(name, job_number) and row.is_pending for row in rows):
            self._kill(job_number)

    def submit_probe(
        self, folder: Path, function: Callable[..., None], args: Sequence[str], resources: Resources
    ) -> str:
        """See `Backend.submit_probe`."""
        capabilities.check_dialect(self._lsf_settings.dialect, self._timeout_s)
        executor = self._make_executor(folder)
        request = replace(
            one_cpu_request(self._cluster, self._batch.for_resources(resources), self._find_dialect()),
            name="seedfold-probe",
            memory_mb=2048,
            minutes=2,
            gpus=min(1, resources.gpus),
            gpu_resource=self._lsf_settings.gpu_resource,
        )
        capabilities.check_request(request, self._timeout_s)
        return executor.submit_script(executor.write_script(function, args, request, self._batch.setup))

    def _submit_request(self, submission: Submission, request: JobRequest) -> str:
        executor, script = self._write_script(submission, request)
        return executor.submit_script(script)

    def _write_script(self, submission: Submission, request: JobRequest) -> tuple[ArrayExecutor, Path]:
        from seedfold.orchestrator.schedulers.lsf.worker_environment import work_in_task

        array, executor = submission.array, self._make_executor(submission.folder)
        assert array is not None
        batch = self._batch.for_resources(array.resources)
        args = [str(submission.folder), float(time_limit_s(array, batch)), float(warning_s(array, batch))]
        return executor, executor.write_script(work_in_task, args, request, setup_lines(batch, submission))

    def _array_request(self, submission: Submission) -> JobRequest:
        assert submission.array is not None
        request = array_request(submission.array, self._cluster, self._dialect_for(submission))
        return replace(request, name=short_job_name(array_name(submission)), array_size=submission.task_count)

    def _make_executor(self, folder: Path) -> ArrayExecutor:
        from seedfold.orchestrator.schedulers.lsf.executor import ArrayExecutor

        python = shlex.quote(self._batch.python or sys.executable)
        return ArrayExecutor(folder, python, self._batch.wrapper, self._timeout_s)

    def _submit_without_forgotten(self, request: JobRequest, submit: Callable[[JobRequest], str]) -> str:
        """Submit a request.

        LSF refuses dependencies on jobs that it has forgotten; they ended long ago and are left out.
        """
        try:
            return submit(request)
        except RefusedError as error:
            known_dependencies = (
                self._known_to_lsf(request.dependencies)
                if bsub_reply.is_dependency_refusal(str(error))
                else request.dependencies
            )
            if len(known_dependencies) == len(request.dependencies):
                raise
        return submit(replace(request, dependencies=tuple(known_dependencies)))

    def _known_to_lsf(self, job_numbers: Sequence[str]) -> list[str]:
        dialect = self._find_dialect()
        listed_numbers = {
            row.id for number in job_numbers for row in queries.list_jobs([number], dialect, self._timeout_s)
        }
        return [number for number in job_numbers if number in listed_numbers]

    # --- queries and cancelling ---------------------------------------------------------------------------------------

    def query_tasks(self, submissions: Iterable[Submission]) -> StatusReply:
        """See `Backend.query_tasks`."""
        submission_list = list(submissions)
        return (
            find_task_states(submission_list, self._dialect_for(submission_list[0]), self._timeout_s)
            if submission_list
            else {}
        )

    def cancel(self, submission: Submission, tasks: Iterable[int]) -> None:
        """See `Backend.cancel`."""
        array_id, name = submission.scheduler_id(), short_job_name(array_name(submission))
        lsf_indices = {index + 1 for index in tasks}
        if array_id is None or not lsf_indices:
            return
        rows = queries.list_jobs([array_id], self._dialect_for(submission), self._timeout_s)
        open_indices = [
            row.index for row in rows if row.index in lsf_indices and row.has_name(name, array_id) and not row.has_ended
        ]
        if open_indices:
            self._kill(queries.element_ids(array_id, open_indices))

    def _kill(self, job_ids: str) -> None:
        process = queries.run(["bkill", job_ids], self._timeout_s)
        message = queries.join_words(process.stderr, process.stdout)
        if process.returncode and not _HARMLESS_ERRORS.search(message):
            raise UnreachableError(f"bkill failed: {message or process.returncode}")

    def throttle(self, submission: Submission, tasks: int | None) -> None:
        """See `Backend.throttle`."""
        limit = f"%{submission.task_count if tasks is None else tasks}"
        process = queries.run(["bmod", "-J", limit, str(submission.scheduler_id())], self._timeout_s)
        message = queries.join_words(process.stderr, process.stdout)
        if process.returncode and not _HARMLESS_ERRORS.search(message):
            raise UnreachableError(f"bmod failed: {message or process.returncode}")

    def queue_state(self, job_number: str) -> tuple[str, str]:
        """See `Backend.queue_state`."""
        rows = [
            row for row in queries.list_jobs([job_number], self._find_dialect(), self._timeout_s) if not row.has_ended
        ]
        if not rows:
            return "", ""
        reasons = (
            parse_pending_reasons(queries.read_pending_reasons([job_number], self._timeout_s))
            if rows[0].is_pending
            else {}
        )
        return rows[0].state, readable_reason(reasons.get((job_number, 0), ""))

    def findings(self) -> Iterator[Finding]:
        """See `Backend.findings`."""
        yield from capabilities.findings(self._find_dialect(), self.largest_array(), self._timeout_s)

    # --- the dialect of LSF
    # ---------------------------------------------------------------------------------------------

    def _dialect_for(self, submission: Submission) -> str:
        """The dialect; it is found once and kept in a file of the submission's folder."""
        if self._lsf_settings.dialect != "auto":
            return self._lsf_settings.dialect
        dialect_file = submission.folder / "lsf"
        if not dialect_file.exists():
            create_once(dialect_file, self._find_dialect())
        return dialect_file.read_text(encoding="utf-8")

    def _find_dialect(self) -> str:
        return (
            queries.find_dialect(self._timeout_s)
            if self._lsf_settings.dialect == "auto"
            else self._lsf_settings.dialect
        )
