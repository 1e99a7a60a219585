"""Questions to LSF. Light: every program that uses submitit imports it."""

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
from seedfold.orchestrator.schedulers.lsf.bjobs_rows import Row, read_json, read_table
from seedfold.orchestrator.settings.lsf import Dialect

# What a surrounding job left in the environment, and what changes what is printed.
_OF_A_JOB = re.compile(
    r"LSB_(JOB|BATCH_JID|HOSTS|MCPU_HOSTS|DJOB_|SUB_|EXIT_|QUEUE|OUTPUTFILE|ERRORFILE|RESTART|CHKFILENAME|EXEC"
    r"|INTERACTIVE|TRAPSIGS|ACCT_FILE|EEXEC|ECHKPNT|MAX_NUM|UNIXGROUP|BIND|STDOUT_DIRECT|PROJECT_NAME)"
    r"|LS_(JOBPID|SUBCWD|EXEC_T)|BSUB_|LSF_(JOB|EAUTH_AUX|INVOKE_CMD)"
)
_MOST_IDS = 200
_NOT_THERE = re.compile(r"is not found|no (\w+ )*job(s|\(s\))? found|no matching job", re.IGNORECASE)
_AWAY = re.compile(
    r"not responding|still trying|lsf is down|cannot connect|connection refused|timed? ?out|communication|please wait"
    r"|daemon (is )?(down|not)|unable to contact|failed in (an )?lsf library|master (batch|lim)",
    re.IGNORECASE,
)
_WARNING = re.compile(r"\W*warning\b", re.IGNORECASE)
_HISTORY = ("bhist", "-l")
_FIELDS = "jobid jobindex stat job_name exec_host exit_code exit_reason"


def environment() -> dict[str, str]:
    """This environment without what a surrounding job left in it; clients give up at once where nobody answers."""
    kept = {key: value for key, value in os.environ.items() if not _OF_A_JOB.match(key)}
    return {**kept, "LSB_NTRIES": "1"}


def run(command: Sequence[str], timeout_s: float, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of LSF's commands. Raises UnreachableError if it is not there or does not come back in time."""
    return commands.run(command, timeout_s, environment(), given)


def is_away(said: str) -> bool:
    """Whether a message is about LSF being away, and says nothing of what was asked."""
    return _AWAY.search(said) is not None


def is_unknown(said: str) -> bool:
    """Whether a message says that there are no such jobs."""
    return _NOT_THERE.search(said) is not None


def one_line(*texts: str) -> str:
    """Several texts in one line, with one blank between words."""
    return " ".join(" ".join(texts).split())


# --- which LSF it is --------------------------------------------------------------------------------------------------


def find_dialect(timeout_s: float) -> Dialect:
    """Which options this LSF has, from how it takes the newer ones. Raises UnreachableError; that is not remembered."""
    return _dialect_of(shutil.which("bjobs"), os.environ.get("LSF_ENVDIR"), timeout_s)


@functools.lru_cache
def _dialect_of(program: str | None, site: str | None, timeout_s: float) -> Dialect:
    ended = run([program or "bjobs", "-o", "jobid", "-json"], timeout_s)
    if _is_json(ended.stdout):
        return "lsf10"
    said = one_line(ended.stdout, ended.stderr)
    if is_away(said) or not said:
        raise UnreachableError(f"bjobs failed: {said or ended.returncode}")
    if is_unknown(said):
        return "lsf10"
    if not ended.returncode:
        raise UnreachableError(f"bjobs said {said[:80]!r}, which makes no sense")
    return "classic"


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


# --- jobs -------------------------------------------------------------------------------------------------------------


def listed(ids: Sequence[str], dialect: str, timeout_s: float) -> Iterator[Row]:
    """The jobs with these ids, or elements of arrays, that LSF still knows. Raises UnreachableError for nonsense."""
    for start in range(0, len(ids), _MOST_IDS):
        yield from _list(ids[start : start + _MOST_IDS], dialect, timeout_s)


def everything(dialect: str, timeout_s: float) -> Iterator[Row]:
    """All jobs of everybody that LSF still knows: names are found in it whatever their number is."""
    yield from _list(["-u", "all"], dialect, timeout_s)


def _list(selection: Sequence[str], dialect: str, timeout_s: float) -> list[Row]:
    new = dialect == "lsf10"
    options = ["-o", _FIELDS, "-json"] if new else ["-w"]
    ended = run(["bjobs", "-a", *options, *selection], timeout_s)
    rows, strange = read_json(ended.stdout) if new else read_table(ended.stdout)
    lines = [line for line in ended.stderr.splitlines() if line.strip() and not _WARNING.match(line)]
    said = [line for line in lines if not is_unknown(line)]
    if strange and not _all_there(rows, selection):
        raise UnreachableError(f"bjobs said {strange[0]!r}, which makes no sense")
    if ended.returncode and (said or not (rows or is_unknown(ended.stderr) or is_unknown(ended.stdout))):
        raise UnreachableError(f"bjobs failed: {one_line(*said) or ended.returncode}")
    return rows


def _all_there(rows: Iterable[Row], selection: Sequence[str]) -> bool:
    """Whether nothing that was asked for can be hidden in lines that make no sense."""
    return selection[0] != "-u" and {row.id for row in rows} >= {one.partition("[")[0] for one in selection}


def elements(number: str, indices: Iterable[int]) -> str:
    """Elements of an array as LSF writes them: ``105[1-3,7]``."""
    spans: list[list[int]] = []
    for index in sorted(indices):
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    written = ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)
    return f"{number}[{written}]"


def pending_reasons(ids: Sequence[str], timeout_s: float) -> str:
    """What LSF says of jobs that are pending, as it prints it; nothing where it says nothing."""
    return _told(["bjobs", "-p", "-w"], ids, timeout_s)


def histories(selection: Sequence[str], timeout_s: float) -> list[str]:
    """Everything that LSF says of jobs, in its own long form: of those that it shows, and what it remembers of all."""
    return [_told(command, selection, timeout_s) for command in (["bjobs", "-a", "-l"], _HISTORY)]


def history(job: str, timeout_s: float) -> str:
    """What LSF remembers of one job; nothing where it does not say."""
    return _told(_HISTORY, [job], timeout_s)


def _told(command: Sequence[str], selection: Sequence[str], timeout_s: float) -> str:
    """What a command prints, whatever it thinks of itself: it adds to what is known, and may be missing."""
    try:
        return run([*command, *selection], timeout_s).stdout
    except UnreachableError:
        return ""


# --- the site ---------------------------------------------------------------------------------------------------------


def shown(command: Sequence[str], timeout_s: float) -> str:
    """What a command of LSF's shows of the site; nothing where the site does not have it, or it does not work.

    Raises UnreachableError if LSF is away.
    """
    if shutil.which(command[0]) is None:
        return ""
    ended = run(command, timeout_s)
    if ended.returncode and is_away(ended.stderr):
        raise UnreachableError(f"{command[0]} failed: {one_line(ended.stderr)}")
    return ended.stdout
