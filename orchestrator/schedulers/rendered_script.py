"""What scripts that `render` writes have in common: commands, quoting, and how jobs are told apart by a reader.

A script holds nothing that depends on the folder it lies in. Its commands look for the root, for modules and for what
is relative where the script is started: in the project's folder, as `launch` is.
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
    """What is to be rendered how. ``root`` is as a person wrote it; a file holds at most ``max_commands`` commands."""

    study: str
    settings: Mapping[str, Any]
    root: str | None = None
    separator: str | None = None
    max_commands: int | None = None

    def check(self) -> None:
        """Raise UsageError for what cannot stand in a script."""
        ClusterSettings.parse(self.settings["cluster"])
        if self.root is not None:
            require_one_line(self.root, "--root")
        if self.separator is not None:
            _check_separator(self.separator)

    @property
    def cluster(self) -> ClusterSettings:
        """How the study is configured to run."""
        return ClusterSettings.parse(self.settings["cluster"])

    @property
    def batch(self) -> SchedulerSettings:
        """What the study says for schedulers; nothing in particular where it is meant for this machine."""
        return self.cluster.scheduler or SchedulerSettings()

    def job_command(self, job_id: str) -> str:
        """Return the command that does a job, which is a shell's word already, of the file that ``$jobs`` names."""
        batch = self.batch
        program = f"{shlex.quote(batch.python)} -m seedfold.orchestrator.cli" if batch.python else "seedfold"
        root = "" if self.root is None else f" --root {shlex.quote(self.root)}"
        wrapper = f"{batch.wrapper} " if batch.wrapper else ""
        return f'{wrapper}{program} run {job_id} --jobs "$jobs" --record{root}'

    def setup_lines(self, job: JobDescription) -> list[str]:
        """Lines before the work."""
        return list(self.batch.for_resources(job.resources).setup)

    def with_separators(self, lines: Iterable[str]) -> list[str]:
        """Put the separator between lines."""
        separator_lines = [] if self.separator is None else [self.separator]
        separated_lines = [part for line in lines for part in (line, *separator_lines)]
        return separated_lines[:-1] if separator_lines else separated_lines


@dataclass(frozen=True, slots=True)
class ScriptJobs:
    """The jobs of one file, all of one stage; ``parent_scripts`` names the parts that their parents are in."""

    name: str
    stage: str
    jobs: tuple[JobDescription, ...]
    parent_scripts: tuple[str, ...]

    @property
    def array(self) -> TaskArray:
        """The part as an array with one job a task."""
        job = self.jobs[0]
        return TaskArray(self.stage, job.resources, per_task=1, side_by_side=1)


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A file to write: its name and text. ``executable`` tells whether a person starts it."""

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
    task_lines: Sequence[str],
    *,
    jobs_file_argument: tuple[str, str],
    task_id_expression: str,
) -> ScriptFile:
    """Return the script of a part's array, one task for each of the ``task_lines`` ids.

    ``jobs`` says in words where a task finds the path of the jobs' file, and names the shell's variable for it;
    ``task_id_expression`` is the shell's word for a task's own id.
    """
    where, variable = jobs_file_argument
    stage, count = printable(jobs_of_script.stage), count_noun(len(jobs_of_script.jobs), "job")
    lines = [
        "#!/bin/bash",
        f"# Stage {stage} of study {request.study}: {count}, one task each.",
        f"# Submit it in the project's folder, with the path of {JOBS_FILE} {where}.",
        *directives,
        "",
        f"jobs=${{{variable}:-{JOBS_FILE}}}",
        "ids=(",
        *task_lines,
        ")",
        *request.setup_lines(jobs_of_script.jobs[0]),
        f"exec {request.job_command(task_id_expression)}",
    ]
    return make_script(f"{jobs_of_script.name}.{suffix}", lines, executable=False)


SUBMIT_HEAD = (
    "set -euo pipefail",
    # The dot keeps a folder called - from being the one before.
    'here=$(CDPATH= cd -- "$(dirname -- "$0")/." && pwd)',
)
"""How a script that submits all others begins to work: it knows the folder that they are in."""


def short_ids(scripts: Iterable[ScriptJobs]) -> dict[str, str]:
    """Return, by id, as few of its first characters as tell the job from all others; twelve or more."""
    ids = sorted({job.id for part in scripts for job in part.jobs})
    length = 12
    while len({job[:length] for job in ids}) < len(ids):
        length += 1
    return {job: job[:length] for job in ids}


def printable(text: str) -> str:
    """Return text that can stand in a comment, whatever it holds: in one line, and in UTF-8."""
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


def safe_name(text: str) -> str:
    """Return what of a text can stand in the name of a file or a job."""
    return re.sub(r"[^\w.-]", "_", text)[:_LONGEST_NAME]


def axes_comment(job: JobDescription) -> str:
    """The axis values of a job, for a comment."""
    return printable(" ".join(f"{axis}={_value_text(value)}" for axis, value in job.axes.items()))


def _value_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def require_one_line(text: str, option: str) -> str:
    """Return the text. Raises UsageError if it holds a line's end or another character that cannot be seen."""
    if _CONTROL_CHARACTERS.search(text):
        raise UsageError(f"{option}: '{printable(text)}' has ends of lines or control characters; write it without")
    return text


def _check_separator(separator: str) -> None:
    """Refuse what is no whole command: it would take the next one with it."""
    require_one_line(separator, "--separator")
    for text in (separator, f"{{ {separator}\n}}"):
        # A document that has no end is a warning only.
        syntax_errors = _syntax_errors(text)
        if syntax_errors or not separator.strip():
            raise UsageError(f"--separator {separator!r}: is no whole shell command, such as 'sleep 2'")


def _syntax_errors(text: str) -> str:
    process = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, errors="replace", check=False)
    return process.stderr if process.returncode == 0 else process.stderr or "no shell command"
