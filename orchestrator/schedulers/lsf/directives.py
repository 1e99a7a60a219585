"""What a job asks of LSF, as lines ``#BSUB -OPTION VALUE``. Light: every program that uses submitit imports it."""

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
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN = re.compile(r"[\w.:/@%-]+", re.ASCII)
_UNIT = re.compile(r"^\s*LSF_UNIT_FOR_LIMITS\s*=\s*[\"']?([KMGT])B?", re.IGNORECASE | re.MULTILINE)
_PER_MB = {"KB": 1024, "MB": 1, "GB": 1 / 1024, "TB": 1 / 1024**2}
# Where a site names no unit, limits are in KB, and what is reserved is in MB as host memory is: in KB, it would be more
# than any host has, and the job would wait for ever.
_LIMIT_UNIT, _RESERVED_UNIT = "KB", "MB"


@dataclass(frozen=True, slots=True)
class Request:
    """What one job, or each element of an array of ``count`` jobs, asks for.

    ``select`` are conditions on a host, ``rusage`` what is reserved beside the memory, ``after`` the ids of jobs that
    have to end before. ``memory_unit`` is that of bare numbers, None where the site names none, ``gpu_resource`` what
    GPUs are called; a dialect that has units and ``-gpu`` needs neither.
    """

    name: str
    output: str
    dialect: str
    count: int | None = None
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
    after: tuple[str, ...] = ()
    begin: datetime | None = None
    queue: str | None = None
    project: str | None = None
    group: str | None = None
    mail: str | None = None
    rerunnable: bool = False
    memory_unit: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def new(self) -> bool:
        """Whether the dialect has units, ``-gpu`` and a warning of its own."""
        return self.dialect == "lsf10"


def lines(request: Request) -> list[str]:
    """Return the lines. Raises UsageError for what LSF might take for more than a value."""
    return [directive(option, value) for option, value in _options(request)]


def directive(option: str, value: Any) -> str:
    """Return an option of `bsub` as a line. Raises UsageError for what LSF might take for more than its value."""
    if value is True:
        return f"#BSUB -{option}"
    text = str(value)
    if _UNSEEN.search(text):
        raise UsageError(f"option {option} of bsub: {text!r} has ends of lines or control characters; write it without")
    # Requirements need quotes around some names; between double quotes they are safe.
    if _UNSAFE.search(text.replace("'", "") if option == "R" else text):
        raise UsageError(f"option {option} of bsub: {text!r} has quotes, backslashes or dollars; write it without")
    return f"#BSUB -{option} {text}" if _PLAIN.fullmatch(text) else f'#BSUB -{option} "{text}"'


def is_safe(text: str) -> bool:
    """Whether a text can be the value of an option."""
    return not (_UNSEEN.search(text) or _UNSAFE.search(text))


def _options(request: Request) -> Iterator[tuple[str, Any]]:
    yield "J", job_name(request)
    yield "o", request.output
    yield "n", request.cpus
    yield "R", requirement(request)
    if request.memory_mb is not None and request.memory_limit:
        yield "M", memory(request, request.memory_mb, _LIMIT_UNIT)
    if request.minutes is not None:
        yield "W", f"{request.minutes // 60:02d}:{request.minutes % 60:02d}"
    if request.new and request.warning_min is not None:
        yield "wa", "USR2"
        yield "wt", request.warning_min
    if request.new and request.gpus:
        yield "gpu", _gpu(request)
    if request.rerunnable:
        yield "r", True
    if request.after:
        yield "w", " && ".join(f"ended({number})" for number in request.after)
    if request.begin is not None:
        yield "b", f"{request.begin:%m:%d:%H:%M}"
    yield from _site(request)


def _site(request: Request) -> Iterator[tuple[str, Any]]:
    named = {"q": request.queue, "P": request.project, "g": request.group, "u": request.mail}
    yield from ((option, value) for option, value in named.items() if value is not None)
    if request.mail is not None:
        yield "N", True
    for option, value in request.options.items():
        if value is not None and value is not False:
            yield option, value


def job_name(request: Request) -> str:
    """The job's name, with the range of its indices and how many run at a time."""
    if request.count is None:
        return request.name
    return f"{request.name}[1-{request.count}]{f'%{request.throttle}' if request.throttle else ''}"


def requirement(request: Request) -> str:
    """The resource requirement, in one string: of several, old servers read the last alone."""
    reserved = list(request.rusage)
    if request.memory_mb is not None:
        slots = request.cpus if request.memory_per_slot else 1
        reserved.insert(0, f"mem={memory(request, -(-request.memory_mb // slots), _RESERVED_UNIT)}")
    if request.gpus and not request.new:
        reserved.append(f"{_gpu_resource(request)}={request.gpus}")
    parts = [f"select[{' && '.join(request.select)}]"] if request.select else []
    parts.append("span[hosts=1]")
    if reserved:
        parts.append(f"rusage[{','.join(reserved)}]")
    return " ".join(parts)


def memory(request: Request, megabytes: int, usual: str) -> str:
    """An amount of memory: with its unit where that is understood, else as a bare number, in the ``usual`` unit."""
    if request.new:
        return f"{megabytes}MB"
    return str(-int(-megabytes * _PER_MB[request.memory_unit or usual] // 1))


def _gpu_resource(request: Request) -> str:
    if request.gpu_resource is None:
        raise UsageError(
            "cluster.gpu_resource: this LSF has no option -gpu; name what it reserves for a GPU, e.g. ngpus_excl_p"
        )
    return request.gpu_resource


def _gpu(request: Request) -> str:
    model = f":gmodel={request.gpu_model}" if request.gpu_model else ""
    least = f":gmem={request.gpu_memory_gb:g}G" if request.gpu_memory_gb else ""
    return f"num={request.gpus}:j_exclusive=yes{model}{least}"


def site_memory_unit() -> str | None:
    """The unit of bare numbers, as ``lsf.conf`` says; None where it says nothing, or cannot be read."""
    try:
        text = Path(os.environ.get("LSF_ENVDIR", "/etc"), "lsf.conf").read_text(errors="replace")
    except OSError:
        return None
    found = _UNIT.findall(text)
    return f"{found[-1].upper()}B" if found else None
