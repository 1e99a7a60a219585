"""Scripts for `bsub`: an array a part, and one script that submits them in order. Amounts are written with units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seedfold.orchestrator.schedulers.lsf.directives import lines
from seedfold.orchestrator.schedulers.lsf.task_request import array_request
from seedfold.orchestrator.schedulers.rendered_script import (
    JOBS_FILE,
    SUBMIT_FILE,
    SUBMIT_HEAD,
    Order,
    Part,
    Script,
    array_script,
    name_part,
    place_of,
    script,
    short_ids,
)

_OWN = '"${ids[LSB_JOBINDEX - 1]}"'
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


def _array(part: Part, order: Order, listed: Sequence[str]) -> Script:
    request = replace(
        array_request(part.array, order.cluster, _dialect(order)),
        name=f"{order.study}.{name_part(part.stage)}",
        count=len(part.jobs),
        output=f"{part.name}.%J.%I.out",
        rerunnable=False,
    )
    told = ("in SEEDFOLD_JOBS", "SEEDFOLD_JOBS")
    return array_script(part, order, "bsub", lines(request), listed, jobs=told, own=_OWN)


def _dialect(order: Order) -> str:
    """The one that is configured; a script may be meant for another machine, which nobody can ask."""
    configured = order.cluster.lsf.dialect if order.cluster.lsf else "auto"
    return "lsf10" if configured == "auto" else configured


def _submit_all(parts: Sequence[Part], order: Order) -> Script:
    numbers = {part.name: f"id{number}" for number, part in enumerate(parts, 1)}
    written = [
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
    return script(SUBMIT_FILE, written)


def _submission(part: Part, numbers: dict[str, str]) -> str:
    condition = " && ".join(f"ended(${numbers[name]})" for name in part.after)
    after = f' -w "{condition}"' if condition else ""
    return f"submit {part.name}.bsub{after}; {numbers[part.name]}=$id"
