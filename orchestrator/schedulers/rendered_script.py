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

from seedfold.jobs.description import JobDescription, Value
from seedfold.jobs.errors import UsageError, counted
from seedfold.orchestrator.ledger.submissions import Array
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.scheduler import Batch

JOBS_FILE = "jobs.jsonl"
SUBMIT_FILE = "submit_all.sh"
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_NAME = 50


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be rendered how. ``root`` is as a person wrote it; at most ``most`` commands go into a file."""

    study: str
    settings: Mapping[str, Any]
    root: str | None = None
    separator: str | None = None
    most: int | None = None

    def check(self) -> None:
        """Raise UsageError for what cannot stand in a script."""
        Cluster.parse(self.settings["cluster"])
        if self.root is not None:
            one_line(self.root, "--root")
        if self.separator is not None:
            _check_separator(self.separator)

    @property
    def cluster(self) -> Cluster:
        """How the study is configured to run."""
        return Cluster.parse(self.settings["cluster"])

    @property
    def batch(self) -> Batch:
        """What the study says for schedulers; nothing in particular where it is meant for this machine."""
        return self.cluster.batch or Batch()

    def command(self, job: str) -> str:
        """Return the command that does a job, which is a shell's word already, of the file that ``$jobs`` names."""
        batch = self.batch
        program = f"{shlex.quote(batch.python)} -m seedfold.orchestrator.cli" if batch.python else "seedfold"
        root = "" if self.root is None else f" --root {shlex.quote(self.root)}"
        wrapper = f"{batch.wrapper} " if batch.wrapper else ""
        return f'{wrapper}{program} run {job} --jobs "$jobs" --record{root}'

    def setup(self, job: JobDescription) -> list[str]:
        """Lines before the work."""
        return list(self.batch.for_resources(job.resources).setup)

    def separated(self, lines: Iterable[str]) -> list[str]:
        """Put the separator between lines."""
        between = [] if self.separator is None else [self.separator]
        listed = [part for line in lines for part in (line, *between)]
        return listed[:-1] if between else listed


@dataclass(frozen=True, slots=True)
class Part:
    """The jobs of one file, all of one stage; ``after`` names the parts that their parents are in."""

    name: str
    stage: str
    jobs: tuple[JobDescription, ...]
    after: tuple[str, ...]

    @property
    def array(self) -> Array:
        """The part as an array with one job a task."""
        job = self.jobs[0]
        return Array(self.stage, job.resources, per_task=1, side_by_side=1)


@dataclass(frozen=True, slots=True)
class Script:
    """A file to write: its name and text. ``runs`` tells whether a person starts it."""

    name: str
    text: str
    runs: bool


def script(name: str, lines: Sequence[str], runs: bool = True) -> Script:
    """Put a script together from its lines."""
    return Script(name, "\n".join(lines) + "\n", runs)


def array_script(
    part: Part,
    order: Order,
    suffix: str,
    directives: Iterable[str],
    listed: Sequence[str],
    *,
    jobs: tuple[str, str],
    own: str,
) -> Script:
    """Return the script of a part's array, one task for each of the ``listed`` ids.

    ``jobs`` says in words where a task finds the path of the jobs' file, and names the shell's variable for it; ``own``
    is the shell's word for a task's own id.
    """
    told, path = jobs
    lines = [
        "#!/bin/bash",
        f"# Stage {shown(part.stage)} of study {order.study}: {counted(len(part.jobs), 'job')}, one task each.",
        f"# Submit it in the project's folder, with the path of {JOBS_FILE} {told}.",
        *directives,
        "",
        f"jobs=${{{path}:-{JOBS_FILE}}}",
        "ids=(",
        *listed,
        ")",
        *order.setup(part.jobs[0]),
        f"exec {order.command(own)}",
    ]
    return script(f"{part.name}.{suffix}", lines, runs=False)


SUBMIT_HEAD = (
    "set -euo pipefail",
    # The dot keeps a folder called - from being the one before.
    'here=$(CDPATH= cd -- "$(dirname -- "$0")/." && pwd)',
)
"""How a script that submits all others begins to work: it knows the folder that they are in."""


def short_ids(parts: Iterable[Part]) -> dict[str, str]:
    """Return, by id, as few of its first characters as tell the job from all others; twelve or more."""
    ids = sorted({job.id for part in parts for job in part.jobs})
    length = 12
    while len({job[:length] for job in ids}) < len(ids):
        length += 1
    return {job: job[:length] for job in ids}


def shown(text: str) -> str:
    """Return text that can stand in a comment, whatever it holds: in one line, and in UTF-8."""
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


def name_part(text: str) -> str:
    """Return what of a text can stand in the name of a file or a job."""
    return re.sub(r"[^\w.-]", "_", text)[:_LONGEST_NAME]


def place_of(job: JobDescription) -> str:
    """The axis values of a job, for a comment."""
    return shown(" ".join(f"{axis}={_text(value)}" for axis, value in job.axes.items()))


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def one_line(text: str, what: str) -> str:
    """Return the text. Raises UsageError if it holds a line's end or another character that cannot be seen."""
    if _UNSEEN.search(text):
        raise UsageError(f"{what}: '{shown(text)}' has ends of lines or control characters; write it without")
    return text


def _check_separator(separator: str) -> None:
    """Refuse what is no whole command: it would take the next one with it."""
    one_line(separator, "--separator")
    for text in (separator, f"{{ {separator}\n}}"):
        # A document that has no end is a warning only.
        said = _parsed(text)
        if said or not separator.strip():
            raise UsageError(f"--separator {separator!r}: is no whole shell command, such as 'sleep 2'")


def _parsed(text: str) -> str:
    ended = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, errors="replace", check=False)
    return ended.stderr if ended.returncode == 0 else ended.stderr or "no shell command"
