"""The request of a job as lines ``#BSUB -OPTION VALUE``. It imports little: every program with submitit imports it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UsageError

_UNSAFE = re.compile(r"[\"\\$`']")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NEEDS_NO_QUOTES = re.compile(r"[\w.:/@%-]+", re.ASCII)
_UNIT_SETTING = re.compile(r"^\s*LSF_UNIT_FOR_LIMITS\s*=\s*[\"']?([KMGT])B?", re.IGNORECASE | re.MULTILINE)
_PER_MB = {"KB": 1024, "MB": 1, "GB": 1 / 1024, "TB": 1 / 1024**2}
# If a site names no unit, limits are in KB, but reserved memory is in MB, as the memory of hosts is: read as MB, a
# number in KB would be more than any host has, and the job would wait for ever.
_LIMIT_UNIT, _RESERVATION_UNIT = "KB", "MB"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The request of one job, or of each element of an array of ``array_size`` jobs.

    ``select`` has the conditions on a host, ``rusage`` what is reserved besides the memory, and ``dependencies`` the
    ids of jobs that have to end before; with ``after_any`` the first of them suffices. ``memory_unit`` is the unit of
    numbers without one, None if the site names none; ``gpu_resource`` is the name of the resource for GPUs. A dialect
    with units and ``-gpu`` needs neither.
    """

    name: str
    output: str
    dialect: str
    array_size: int | None = None
    throttle: int | None = None
    cpus: int = 1
    memory_mb: int | None = None
    memory_limit: bool = True
    memory_per_slot: bool = False
    minutes: int | None = None
    warning_min: int | None = None
    gpus: int = 0
    gpu_memory_gb: float | None = None
    gpu_model: str | None = None
    gpu_resource: str | None = None
    select: tuple[str, ...] = ()
    rusage: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    after_any: bool = False
    begin: datetime | None = None
    queue: str | None = None
    project: str | None = None
    job_group: str | None = None
    mail: str | None = None
    rerunnable: bool = False
    memory_unit: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_lsf10(self) -> bool:
        """Whether the dialect has units, ``-gpu`` and a warning of its own."""
        return self.dialect == "lsf10"


def directive_lines(request: JobRequest) -> list[str]:
    """Return the lines. Raises UsageError for a value that LSF might read as more than one value."""
    return [directive(option, value) for option, value in _options(request)]


def directive(option: str, value: Any) -> str:
    """Return an option of `bsub` as a line.

    Raises UsageError for a value that LSF might read as more than one value.
    """
    if value is True:
        return f"#BSUB -{option}"
    text = str(value)
    if _CONTROL_CHARACTERS.search(text):
        raise UsageError(f"option {option} of bsub: {text!r} has newlines or control characters; write it without them")
    # Requirements need quotes around some names; inside double quotes they are safe.
    if _UNSAFE.search(text.replace("'", "") if option == "R" else text):
        raise UsageError(
            f"option {option} of bsub: {text!r} has quotes, backslashes or dollar signs; write it without them"
        )
    return f"#BSUB -{option} {text}" if _NEEDS_NO_QUOTES.fullmatch(text) else f'#BSUB -{option} "{text}"'


def is_safe(text: str) -> bool:
    """Whether a text can be the value of an option."""
    return not (_CONTROL_CHARACTERS.search(text) or _UNSAFE.search(text))


def _options(request: JobRequest) -> Iterator[tuple[str, Any]]:
    yield "J", job_name(request)
    yield "o", request.output
    yield "n", request.cpus
    yield "R", resource_requirement(request)
    if request.memory_mb is not None and request.memory_limit:
        yield "M", memory_text(request, request.memory_mb, _LIMIT_UNIT)
    if request.minutes is not None:
        yield "W", f"{request.minutes // 60:02d}:{request.minutes % 60:02d}"
    if request.is_lsf10 and request.warning_min is not None:
        yield "wa", "USR2"
        yield "wt", request.warning_min
    if request.is_lsf10 and request.gpus:
        yield "gpu", _gpu_option(request)
    if request.rerunnable:
        yield "r", True
    if request.dependencies:
        yield "w", (" || " if request.after_any else " && ").join(f"ended({number})" for number in request.dependencies)
    if request.begin is not None:
        yield "b", f"{request.begin:%m:%d:%H:%M}"
    yield from _site_options(request)


def _site_options(request: JobRequest) -> Iterator[tuple[str, Any]]:
    named = {"q": request.queue, "P": request.project, "g": request.job_group, "u": request.mail}
    yield from ((option, value) for option, value in named.items() if value is not None)
    if request.mail is not None:
        yield "N", True
    for option, value in request.options.items():
        if value is not None and value is not False:
            yield option, value


def job_name(request: JobRequest) -> str:
    """The job's name, with the range of its indices and how many run at a time."""
    if request.array_size is None:
        return request.name
    return f"{request.name}[1-{request.array_size}]{f'%{request.throttle}' if request.throttle else ''}"


def resource_requirement(request: JobRequest) -> str:
    """The resource requirement as one string, because old servers read only the last of several."""
    reservations = list(request.rusage)
    if request.memory_mb is not None:
        slots = request.cpus if request.memory_per_slot else 1
        reservations.insert(0, f"mem={memory_text(request, -(-request.memory_mb // slots), _RESERVATION_UNIT)}")
    if request.gpus and not request.is_lsf10:
        reservations.append(f"{_require_gpu_resource(request)}={request.gpus}")
    parts = [f"select[{' && '.join(request.select)}]"] if request.select else []
    parts.append("span[hosts=1]")
    if reservations:
        parts.append(f"rusage[{','.join(reservations)}]")
    return " ".join(parts)


def memory_text(request: JobRequest, megabytes: int, default_unit: str) -> str:
    """An amount of memory: with its unit if the dialect has units, else as a number in ``default_unit``."""
    if request.is_lsf10:
        return f"{megabytes}MB"
    return str(-int(-megabytes * _PER_MB[request.memory_unit or default_unit] // 1))


def _require_gpu_resource(request: JobRequest) -> str:
    if request.gpu_resource is None:
        raise UsageError(
            "cluster.gpu_resource: this LSF has no option -gpu; set the name"
            " of its resource for GPUs, e.g. ngpus_excl_p"
        )
    return request.gpu_resource


def _gpu_option(request: JobRequest) -> str:
    model = f":gmodel={request.gpu_model}" if request.gpu_model else ""
    min_memory = f":gmem={request.gpu_memory_gb:g}G" if request.gpu_memory_gb else ""
    return f"num={request.gpus}:j_exclusive=yes{model}{min_memory}"


def read_memory_unit() -> str | None:
    """The unit of numbers without one, from ``lsf.conf``; None if it names none, or cannot be read."""
    try:
        text = Path(os.environ.get("LSF_ENVDIR", "/etc"), "lsf.conf").read_text(errors="replace")
    except OSError:
        return None
    found = _UNIT_SETTING.findall(text)
    return f"{found[-1].upper()}B" if found else None
