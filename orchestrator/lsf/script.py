"""Scripts for `bsub`: an array a part, and one script that submits them in order. Amounts are written with units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.batch import Batch
from seedfold.orchestrator.request import memory_mib, time_limit_s, warning_s
from seedfold.orchestrator.script import (
    JOBS_FILE,
    SUBMIT_FILE,
    SUBMIT_HEAD,
    Order,
    Part,
    Script,
    array_script,
    name_part,
    one_line,
    place_of,
    script,
    short_ids,
)
from seedfold.orchestrator.submissions import Array

_UNSAFE = re.compile(r"[\"\\$`']")
_OWN = '"${ids[LSB_JOBINDEX - 1]}"'
_GIB = 1024**3
_SUBMIT = r"""
# Submits a file, with options of bsub in front of it; the number that LSF gave is then in $id.
submit() {
    local said
    said=$(bsub "${@:2}" < "$here/$1")
    id=$(sed -n 's/^Job <\([0-9]*\)> is submitted.*/\1/p' <<< "$said")
    [ -n "$id" ] || { echo "$1: bsub gave no number: $said" >&2; exit 1; }
    echo "${1%.bsub}: $id"
}
""".strip().splitlines()


def scripts(parts: Sequence[Part], order: Order) -> Iterator[Script]:
    """Yield the script of each part's array, and the one that submits all."""
    ids = short_ids(parts)
    for part in parts:
        yield _array(part, order, [f"{ids[job.id]}  # {place_of(job)}" for job in part.jobs])
    yield _submit_all(parts, order)


def directive(option: str, value: Any) -> str:
    """Return an option of `bsub` as a line. Raises UsageError for what LSF might take for more than its value."""
    if value is True:
        return f"#BSUB -{option}"
    text = one_line(str(value), f"option {option} of bsub")
    if _UNSAFE.search(text):
        raise UsageError(f"option {option} of bsub: {text!r} has quotes, backslashes or dollars; write it without")
    return f"#BSUB -{option} {text}" if re.fullmatch(r"[\w.:/@%-]+", text) else f'#BSUB -{option} "{text}"'


def _array(part: Part, order: Order, listed: Sequence[str]) -> Script:
    batch = order.batch.for_resources(part.array.resources)
    throttle = f"%{batch.throttle}" if batch.throttle else ""
    asked = [
        ("J", f"{order.study}.{name_part(part.stage)}[1-{len(part.jobs)}]{throttle}"),
        ("o", f"{part.name}.%J.%I.out"),
        *_needs(part.array, batch),
    ]
    lines = [directive(option, value) for option, value in asked]
    return array_script(part, order, "bsub", lines, listed, jobs=("in SEEDFOLD_JOBS", "SEEDFOLD_JOBS"), own=_OWN)


def _needs(array: Array, batch: Batch) -> Iterator[tuple[str, Any]]:
    """What one task needs, and what the site wants of all."""
    memory = f"{memory_mib(array)}MB"
    minutes = -(-time_limit_s(array, batch) // 60)
    yield "n", array.resources.cpus
    yield "R", f"span[hosts=1] rusage[mem={memory}]"
    yield "M", memory
    yield "W", f"{minutes // 60:02d}:{minutes % 60:02d}"
    yield "wa", "USR2"
    yield "wt", -(-warning_s(array, batch) // 60)
    if array.resources.gpus:
        least = f":gmem={batch.gpu_memory / _GIB:g}G" if batch.gpu_memory else ""
        yield "gpu", f"num={array.resources.gpus}:j_exclusive=yes{least}"
    yield from _site(batch)


def _site(batch: Batch) -> Iterator[tuple[str, Any]]:
    for key in ("qos", "constraint", "exclude"):
        if getattr(batch, key):
            raise UsageError(f"cluster.{key}: bsub has no such option; write what LSF needs in cluster.options")
    named = {"q": batch.partition, "P": batch.account, "u": batch.mail}
    yield from ((option, value) for option, value in named.items() if value is not None)
    yield from batch.options.items()


def _submit_all(parts: Sequence[Part], order: Order) -> Script:
    numbers = {part.name: f"id{number}" for number, part in enumerate(parts, 1)}
    lines = [
        "#!/bin/bash",
        f"# Submits study {order.study}, stages in order. Run it in the project's folder; output files go there.",
        *SUBMIT_HEAD,
        f'export SEEDFOLD_JOBS="$here/{JOBS_FILE}"',
        "unset BSUB_QUIET",
        "",
        *_SUBMIT,
        "",
        *order.separated(_submission(part, numbers) for part in parts),
    ]
    return script(SUBMIT_FILE, lines)


def _submission(part: Part, numbers: dict[str, str]) -> str:
    condition = " && ".join(f"ended(${numbers[name]})" for name in part.after)
    after = f' -w "{condition}"' if condition else ""
    return f"submit {part.name}.bsub{after}; {numbers[part.name]}=$id"
