"""What all scripts that `render` writes have in common: commands, quoting, and comments that name the jobs.

A script does not depend on the folder that it is in. Its commands look for the root, for modules and for relative paths
in the folder in which the script is started. This is the project's folder, as for `launch`.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.description import JobDescription, JsonValue
from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.ledger.submissions import TaskArray
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.scheduler import SchedulerSettings

JOBS_FILE = "jobs.jsonl"
SUBMIT_FILE = "submit_all.sh"
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_NAME = 50


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """What to render, and how. ``root`` is as the person wrote it; a file has at most ``max_commands`` commands."""

    study: str
    settings: Mapping[str, Any]
    root: str | None = None
    separator: str | None = None
    max_commands: int | None = None

    def check(self) -> None:
        """Raise UsageError for values that cannot be written in a script."""
        ClusterSettings.parse(self.settings["cluster"])
        if self.root is not None:
            require_one_line(self.root, "--root")
        if self.separator is not None:
            _check_separator(self.separator)

    @property
    def cluster(self) -> ClusterSettings:
        """The executor's settings of the study."""
        return ClusterSettings.parse(self.settings["cluster"])

    @property
    def batch(self) -> SchedulerSettings:
        """The scheduler's settings of the study; the defaults if the study is configured for this machine."""
        return self.cluster.scheduler or SchedulerSettings()

    def job_command(self, job_id: str) -> str:
        """Return the command that runs a job of the file in ``$jobs``; ``job_id`` is a quoted word of the shell."""
        batch = self.batch
        program = f"{shlex.quote(batch.python)} -m seedfold.orchestrator.cli" if batch.python else "seedfold"
        root = "" if self.root is None else f" --root {shlex.quote(self.root)}"
        wrapper = f"{batch.wrapper} " if batch.wrapper else ""
        return f'{wrapper}{program} run {job_id} --jobs "$jobs" --record{root}'

    def setup_lines(self, job: JobDescription) -> list[str]:
        """The lines of shell before the work."""
        return list(self.batch.for_resources(job.resources).setup)

    def with_separators(self, lines: Iterable[str]) -> list[str]:
        """Return the lines with the separator between them."""
        separator_lines = [] if self.separator is None else [self.separator]
        separated_lines = [part for line in lines for part in (line, *separator_lines)]
        return separated_lines[:-1] if separator_lines else separated_lines


@dataclass(frozen=True, slots=True)
class ScriptJobs:
    """The jobs of one script, all of one stage; ``parent_scripts`` names the scripts that have their parents.

    As an ``array`` they have tasks of one job, or of several, of which so many are trained ``together`` in one process.
    """

    name: str
    stage: str
    jobs: tuple[JobDescription, ...]
    parent_scripts: tuple[str, ...]
    array: TaskArray
    together: int = 1

    @property
    def tasks(self) -> list[tuple[JobDescription, ...]]:
        """The jobs of each task of the array."""
        size = self.array.per_task
        return [self.jobs[start : start + size] for start in range(0, len(self.jobs), size)]

    def tasks_text(self) -> str:
        """How many jobs there are, and how they share tasks."""
        count = count_noun(len(self.jobs), "job")
        if self.array.per_task == 1:
            return f"{count}, one task for each"
        packed = f"{count} in {count_noun(len(self.tasks), 'task')} of {self.array.per_task}"
        return packed if self.together == 1 else f"{packed}, {self.together} trained together in one process"


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A file to write: its name and text. ``executable`` is true for scripts that a person starts."""

    name: str
    text: str
    executable: bool


def make_script(name: str, lines: Sequence[str], executable: bool = True) -> ScriptFile:
    """Put a script together from its lines."""
    return ScriptFile(name, "\n".join(lines) + "\n", executable)


def make_array_script(
    jobs_of_script: ScriptJobs,
    request: RenderRequest,
    suffix: str,
    directives: Iterable[str],
    ids: Mapping[str, str],
    *,
    jobs_file_argument: tuple[str, str],
    task_id_expression: str,
) -> ScriptFile:
    """Return the script of an array; ``ids`` has the short ids of its jobs.

    ``jobs_file_argument`` says in words where a task finds the path of the jobs' file, and names the shell's variable
    for it; ``task_id_expression`` is the expression of the shell for the ids of a task's jobs.
    """
    where, variable = jobs_file_argument
    stage = printable(jobs_of_script.stage)
    # Several ids of a task are several words.
    words = f'"{task_id_expression}"' if jobs_of_script.array.per_task == 1 else task_id_expression
    lines = [
        "#!/bin/bash",
        f"# Stage {stage} of study {request.study}: {jobs_of_script.tasks_text()}.",
        f"# Submit it in the project's folder, with the path of {JOBS_FILE} {where}.",
        *directives,
        "",
        f"jobs=${{{variable}:-{JOBS_FILE}}}",
        "ids=(",
        *(_task_line(jobs, ids) for jobs in jobs_of_script.tasks),
        ")",
        *request.setup_lines(jobs_of_script.jobs[0]),
        f"exec {request.job_command(words)}",
    ]
    return make_script(f"{jobs_of_script.name}.{suffix}", lines, executable=False)


def _task_line(jobs: Sequence[JobDescription], ids: Mapping[str, str]) -> str:
    """The line of one task in the array of ids, with the axes of its jobs as a comment."""
    words, comment = " ".join(ids[job.id] for job in jobs), "; ".join(map(axes_comment, jobs))
    return f"{words if len(jobs) == 1 else shlex.quote(words)}  # {comment}"


SUBMIT_HEAD = (
    "set -euo pipefail",
    # With the dot, a folder named "-" is not read as the previous folder.
    'here=$(CDPATH= cd -- "$(dirname -- "$0")/." && pwd)',
)
"""The first lines of a script that submits all others: they find the folder of the scripts."""


def short_ids(scripts: Iterable[ScriptJobs]) -> dict[str, str]:
    """Return, by id, its first characters: twelve, or as many as are needed to tell the jobs apart."""
    ids = sorted({job.id for part in scripts for job in part.jobs})
    length = 12
    while len({job[:length] for job in ids}) < len(ids):
        length += 1
    return {job: job[:length] for job in ids}


def printable(text: str) -> str:
    """Return a text in a form that is safe in a comment: in one line, and in UTF-8."""
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


def safe_name(text: str) -> str:
    """Return a text with only those characters that may be in the name of a file or a job."""
    return re.sub(r"[^\w.-]", "_", text)[:_LONGEST_NAME]


def axes_comment(job: JobDescription) -> str:
    """The axis values of a job, for a comment."""
    return printable(" ".join(f"{axis}={_value_text(value)}" for axis, value in job.axes.items()))


def _value_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def require_one_line(text: str, option: str) -> str:
    """Return the text. Raises UsageError if it has a newline or another control character."""
    if _CONTROL_CHARACTERS.search(text):
        raise UsageError(f"{option}: '{printable(text)}' has newlines or control characters; write it without them")
    return text


def _check_separator(separator: str) -> None:
    """Refuse a separator that is not a complete shell command: it would swallow the next command."""
    require_one_line(separator, "--separator")
    for text in (separator, f"{{ {separator}\n}}"):
        # For a here-document without an end the shell prints only a warning.
        syntax_errors = _syntax_errors(text)
        if syntax_errors or not separator.strip():
            raise UsageError(f"--separator {separator!r}: is not a complete shell command, such as 'sleep 2'")


def _syntax_errors(text: str) -> str:
    process = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, errors="replace", check=False)
    return process.stderr if process.returncode == 0 else process.stderr or "not a shell command"
