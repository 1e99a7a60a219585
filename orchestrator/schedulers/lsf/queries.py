"""Queries to LSF. This module imports little, because every program that uses submitit imports it."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers import commands
from seedfold.orchestrator.schedulers.lsf.bjobs_rows import BjobsRow, parse_json, parse_table
from seedfold.orchestrator.settings.lsf import Dialect

# Variables of a surrounding job, and variables that change what the commands print.
_JOB_VARIABLES = re.compile(
    r"LSB_(JOB|BATCH_JID|HOSTS|MCPU_HOSTS|DJOB_|SUB_|EXIT_|QUEUE|OUTPUTFILE|ERRORFILE|RESTART|CHKFILENAME|EXEC"
    r"|INTERACTIVE|TRAPSIGS|ACCT_FILE|EEXEC|ECHKPNT|MAX_NUM|UNIXGROUP|BIND|STDOUT_DIRECT|PROJECT_NAME)"
    r"|LS_(JOBPID|SUBCWD|EXEC_T)|BSUB_|LSF_(JOB|EAUTH_AUX|INVOKE_CMD)"
)
_MAX_IDS = 200
_NO_SUCH_JOB = re.compile(r"is not found|no (\w+ )*job(s|\(s\))? found|no matching job", re.IGNORECASE)
_LSF_IS_DOWN = re.compile(
    r"not responding|still trying|lsf is down|cannot connect|connection refused|timed? ?out|communication|please wait"
    r"|daemon (is )?(down|not)|unable to contact|failed in (an )?lsf library|master (batch|lim)",
    re.IGNORECASE,
)
_WARNING = re.compile(r"\W*warning\b", re.IGNORECASE)
_HISTORY_COMMAND = ("bhist", "-l")
EXPECTED_START = "esstart_time"
_FIELDS = "jobid jobindex stat job_name exec_host exit_code exit_reason"


def clean_environment() -> dict[str, str]:
    """The environment without the variables of a surrounding job.

    LSF's commands give up at once if LSF does not reply.
    """
    variables = {key: value for key, value in os.environ.items() if not _JOB_VARIABLES.match(key)}
    return {**variables, "LSB_NTRIES": "1"}


def run(command: Sequence[str], timeout_s: float, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of LSF's commands. Raises UnreachableError if the command is missing or does not end in time."""
    return commands.run(command, timeout_s, clean_environment(), stdin)


def is_lsf_down(message: str) -> bool:
    """Whether a message says that LSF itself is not available."""
    return _LSF_IS_DOWN.search(message) is not None


def is_no_such_job(message: str) -> bool:
    """Whether a message says that there are no such jobs."""
    return _NO_SUCH_JOB.search(message) is not None


def join_words(*texts: str) -> str:
    """Join texts into one line, with one space between words."""
    return " ".join(" ".join(texts).split())


# --- the dialect of LSF
# --------------------------------------------------------------------------------------------------


def find_dialect(timeout_s: float) -> Dialect:
    """Return which dialect this LSF has, by trying a newer option.

    Raises UnreachableError, and then the next call tries again.
    """
    return _probe_dialect(shutil.which("bjobs"), os.environ.get("LSF_ENVDIR"), timeout_s)


@functools.lru_cache
def _probe_dialect(program: str | None, config_folder: str | None, timeout_s: float) -> Dialect:
    process = run([program or "bjobs", "-o", "jobid", "-json"], timeout_s)
    if _is_json(process.stdout):
        return "lsf10"
    message = join_words(process.stdout, process.stderr)
    if is_lsf_down(message) or not message:
        raise UnreachableError(f"bjobs failed: {message or process.returncode}")
    if is_no_such_job(message):
        return "lsf10"
    if not process.returncode:
        raise UnreachableError(f"bjobs printed {message[:80]!r}, which Seedfold cannot read")
    return "classic"


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


# --- jobs -------------------------------------------------------------------------------------------------------------


def list_jobs(job_ids: Sequence[str], dialect: str, timeout_s: float) -> Iterator[BjobsRow]:
    """The jobs, or elements of arrays, with these ids that LSF still knows.

    Raises UnreachableError for unreadable output.
    """
    for start in range(0, len(job_ids), _MAX_IDS):
        yield from _run_bjobs(job_ids[start : start + _MAX_IDS], dialect, timeout_s)


def list_all_jobs(dialect: str, timeout_s: float) -> Iterator[BjobsRow]:
    """All jobs of all users that LSF still knows, in which a job can be found by its name without its number."""
    yield from _run_bjobs(["-u", "all"], dialect, timeout_s)


def _run_bjobs(arguments: Sequence[str], dialect: str, timeout_s: float) -> list[BjobsRow]:
    is_lsf10 = dialect == "lsf10"
    options = ["-o", _FIELDS, "-json"] if is_lsf10 else ["-w"]
    process = run(["bjobs", "-a", *options, *arguments], timeout_s)
    rows, unreadable = parse_json(process.stdout) if is_lsf10 else parse_table(process.stdout)
    lines = [line for line in process.stderr.splitlines() if line.strip() and not _WARNING.match(line)]
    errors = [line for line in lines if not is_no_such_job(line)]
    if unreadable and not _is_complete(rows, arguments):
        raise UnreachableError(f"bjobs printed {unreadable[0]!r}, which Seedfold cannot read")
    if process.returncode and (
        errors or not (rows or is_no_such_job(process.stderr) or is_no_such_job(process.stdout))
    ):
        raise UnreachableError(f"bjobs failed: {join_words(*errors) or process.returncode}")
    return rows


def _is_complete(rows: Iterable[BjobsRow], arguments: Sequence[str]) -> bool:
    """Whether all requested jobs were found, so that lines that cannot be read do not matter."""
    return arguments[0] != "-u" and {row.id for row in rows} >= {one.partition("[")[0] for one in arguments}


def element_ids(array_id: str, indices: Iterable[int]) -> str:
    """Elements of an array in LSF's notation: ``105[1-3,7]``."""
    ranges: list[list[int]] = []
    for index in sorted(indices):
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    ranges_text = ",".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)
    return f"{array_id}[{ranges_text}]"


def read_pending_reasons(job_ids: Sequence[str], timeout_s: float) -> str:
    """LSF's text on why jobs are pending, as printed; empty if there is none."""
    return _output_or_empty(["bjobs", "-p", "-w"], job_ids, timeout_s)


def read_expected_starts(job_ids: Sequence[str], dialect: str, timeout_s: float) -> str:
    """LSF's list of when jobs are expected to start, as JSON; empty if this LSF does not say.

    LSF simulates what will start where ``LSB_ENABLE_ESTIMATION`` is set; older ones do not know the field.
    """
    if dialect != "lsf10":
        return ""
    return _output_or_empty(["bjobs", "-p", "-o", f"jobid jobindex {EXPECTED_START}", "-json"], job_ids, timeout_s)


def read_details_and_histories(job_ids: Sequence[str], timeout_s: float) -> list[str]:
    """LSF's long texts on jobs: the details of jobs that it still lists, and the history of all of them."""
    return [_output_or_empty(command, job_ids, timeout_s) for command in (["bjobs", "-a", "-l"], _HISTORY_COMMAND)]


def read_history(job_id: str, timeout_s: float) -> str:
    """LSF's history of one job; empty if there is none."""
    return _output_or_empty(_HISTORY_COMMAND, [job_id], timeout_s)


def _output_or_empty(command: Sequence[str], arguments: Sequence[str], timeout_s: float) -> str:
    """What a command prints, even if it fails: the information is additional and may be missing."""
    try:
        return run([*command, *arguments], timeout_s).stdout
    except UnreachableError:
        return ""


# --- the site ---------------------------------------------------------------------------------------------------------


def site_output(command: Sequence[str], timeout_s: float) -> str:
    """What one of LSF's commands prints about the site; empty if the site does not have the command, or if it fails.

    Raises UnreachableError if LSF is not available.
    """
    if shutil.which(command[0]) is None:
        return ""
    process = run(command, timeout_s)
    if process.returncode and is_lsf_down(process.stderr):
        raise UnreachableError(f"{command[0]} failed: {join_words(process.stderr)}")
    return process.stdout
