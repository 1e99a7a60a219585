"""LSF as a backend: submission, one question for all tasks, cancelling."""

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
from seedfold.orchestrator.schedulers.backend import Answer, RefusedError
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.schedulers.lsf import bsub_reply as replies
from seedfold.orchestrator.schedulers.lsf import capabilities as offer
from seedfold.orchestrator.schedulers.lsf import queries
from seedfold.orchestrator.schedulers.lsf.bjobs_rows import read_reasons
from seedfold.orchestrator.schedulers.lsf.directives import Request
from seedfold.orchestrator.schedulers.lsf.task_request import array_request, short, small_request
from seedfold.orchestrator.schedulers.lsf.task_states import answer, in_words
from seedfold.orchestrator.schedulers.task_request import keeper_name, name_of, setup_lines, time_limit_s, warning_s
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.lsf import LsfSettings

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.lsf.executor import ArrayExecutor

_KEEPER_MIN = 30
_LATER = timedelta(minutes=3)
_LARGEST = 1000
_HARMLESS = re.compile(
    r"operation is in progress|already (been )?finished|is not found|being terminated", re.IGNORECASE
)


class Lsf:
    """The cluster whose `bsub` is on the path."""

    def __init__(self, cluster: Cluster) -> None:
        assert cluster.batch is not None
        self._cluster, self._batch = cluster, cluster.batch
        self._own = cluster.lsf or LsfSettings()
        self._timeout_s = float(cluster.batch.query_timeout_s)

    def largest_array(self) -> int:
        """``MAX_JOB_ARRAY_SIZE``, which bounds the index."""
        if self._own.max_array is not None:
            return self._own.max_array
        found = re.search(r"MAX_JOB_ARRAY_SIZE\s*[=:]?\s*(\d+)", queries.shown(["bparams", "-l"], self._timeout_s))
        return int(found[1]) if found else _LARGEST

    def log_name(self, number: str | None, index: int) -> str:
        """See `Backend.log_name`. LSF's indices begin with 1."""
        return f"{number}_{index + 1}.log"

    # --- submitting --------------------------------------------------------------------------------------------------

    def check(self, submission: Submission) -> None:
        """See `Backend.check`. LSF itself has no trial, and takes some things that it never starts."""
        offer.check_dialect(self._own.dialect, self._timeout_s)
        request = self._request(submission)
        self._write(submission, request)
        offer.check(request, self._timeout_s)

    def submit(self, submission: Submission, after: Sequence[str]) -> str:
        """See `Backend.submit`."""
        request = replace(self._request(submission), after=tuple(after))
        return self._unless_forgotten(request, lambda asked: self._send(submission, asked))

    def submit_keeper(self, submission: Submission, after: str | None, call: Callable[[str, str], None]) -> None:
        """See `Backend.submit_keeper`."""
        study, executor = submission.folder.parents[1], self._executor(submission.folder / "keeper")
        setup, args = setup_lines(self._batch, submission), [str(study.parent), study.name]
        request = replace(
            small_request(self._cluster, self._batch, self._dialect(submission)),
            name=short(keeper_name(submission)),
            memory_mb=1024,
            minutes=_KEEPER_MIN,
            options={},
            after=() if after is None else (after,),
            begin=datetime.now() + _LATER if after is None else None,
        )

        def send(asked: Request) -> str:
            return executor.send(executor.prepare(call, args, asked, setup))

        try:
            self._unless_forgotten(request, send)
        except RefusedError as error:
            allowed = self._request(submission).minutes or _KEEPER_MIN
            if error.full or allowed >= _KEEPER_MIN:
                raise
            # What the queue allows its jobs it allows their keeper.
            self._unless_forgotten(replace(request, minutes=allowed), send)

    def submit_probe(self, folder: Path, call: Callable[..., None], args: Sequence[str], resources: Resources) -> str:
        """See `Backend.submit_probe`."""
        offer.check_dialect(self._own.dialect, self._timeout_s)
        executor = self._executor(folder)
        request = replace(
            small_request(self._cluster, self._batch.for_resources(resources), self._find_dialect()),
            name="seedfold-probe",
            memory_mb=2048,
            minutes=2,
            gpus=min(1, resources.gpus),
            gpu_resource=self._own.gpu_resource,
        )
        offer.check(request, self._timeout_s)
        return executor.send(executor.prepare(call, args, request, self._batch.setup))

    def _send(self, submission: Submission, request: Request) -> str:
        executor, script = self._write(submission, request)
        return executor.send(script)

    def _write(self, submission: Submission, request: Request) -> tuple[ArrayExecutor, Path]:
        from seedfold.orchestrator.schedulers.lsf.worker_environment import work_in_task

        array, executor = submission.array, self._executor(submission.folder)
        assert array is not None
        batch = self._batch.for_resources(array.resources)
        args = [str(submission.folder), float(time_limit_s(array, batch)), float(warning_s(array, batch))]
        return executor, executor.prepare(work_in_task, args, request, setup_lines(batch, submission))

    def _request(self, submission: Submission) -> Request:
        assert submission.array is not None
        asked = array_request(submission.array, self._cluster, self._dialect(submission))
        return replace(asked, name=short(name_of(submission)), count=submission.task_count)

    def _executor(self, folder: Path) -> ArrayExecutor:
        from seedfold.orchestrator.schedulers.lsf.executor import ArrayExecutor

        python = shlex.quote(self._batch.python or sys.executable)
        return ArrayExecutor(folder, python, self._batch.wrapper, self._timeout_s)

    def _unless_forgotten(self, request: Request, send: Callable[[Request], str]) -> str:
        """Send a request. LSF refuses to wait for jobs that it has forgotten; they ended long ago."""
        try:
            return send(request)
        except RefusedError as error:
            known = self._known(request.after) if replies.is_about_dependency(str(error)) else request.after
            if len(known) == len(request.after):
                raise
        return send(replace(request, after=tuple(known)))

    def _known(self, numbers: Sequence[str]) -> list[str]:
        dialect = self._find_dialect()
        listed = {row.id for number in numbers for row in queries.listed([number], dialect, self._timeout_s)}
        return [number for number in numbers if number in listed]

    # --- asking and cancelling ---------------------------------------------------------------------------------------

    def ask(self, submissions: Iterable[Submission]) -> Answer:
        """See `Backend.ask`."""
        asked = list(submissions)
        return answer(asked, self._dialect(asked[0]), self._timeout_s) if asked else {}

    def cancel(self, submission: Submission, tasks: Iterable[int]) -> None:
        """See `Backend.cancel`."""
        number, name = submission.scheduler_id(), short(name_of(submission))
        wanted = {index + 1 for index in tasks}
        if number is None or not wanted:
            return
        rows = queries.listed([number], self._dialect(submission), self._timeout_s)
        own = [row.index for row in rows if row.index in wanted and row.is_called(name, number) and not row.ended]
        if own:
            self._end(queries.elements(number, own))

    def _end(self, jobs: str) -> None:
        ended = queries.run(["bkill", jobs], self._timeout_s)
        said = queries.one_line(ended.stderr, ended.stdout)
        if ended.returncode and not _HARMLESS.search(said):
            raise UnreachableError(f"bkill failed: {said or ended.returncode}")

    def look_at(self, number: str) -> tuple[str, str]:
        """See `Backend.look_at`."""
        rows = [row for row in queries.listed([number], self._find_dialect(), self._timeout_s) if not row.ended]
        if not rows:
            return "", ""
        said = read_reasons(queries.pending_reasons([number], self._timeout_s)) if rows[0].pending else {}
        return rows[0].word, in_words(said.get((number, 0), ""))

    def findings(self) -> Iterator[Finding]:
        """See `Backend.findings`."""
        yield from offer.findings(self._find_dialect(), self.largest_array(), self._timeout_s)

    # --- which LSF it is ---------------------------------------------------------------------------------------------

    def _dialect(self, submission: Submission) -> str:
        """Found out once, and kept beside the submission."""
        if self._own.dialect != "auto":
            return self._own.dialect
        note = submission.folder / "lsf"
        if not note.exists():
            create_once(note, self._find_dialect())
        return note.read_text(encoding="utf-8")

    def _find_dialect(self) -> str:
        return queries.find_dialect(self._timeout_s) if self._own.dialect == "auto" else self._own.dialect
