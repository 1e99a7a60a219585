"""Scripts for `sbatch`: an array a part, and one script that submits them in order."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from seedfold.orchestrator.schedulers.rendered_script import (
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
from seedfold.orchestrator.schedulers.slurm.backend import needs
from seedfold.orchestrator.schedulers.task_request import time_limit_s, warning_s

_OWN = '"${ids[SLURM_ARRAY_TASK_ID - 1]}"'


def scripts(parts: Sequence[Part], order: Order) -> Iterator[Script]:
    """Yield the script of each part's array, and the one that submits all."""
    ids = short_ids(parts)
    for part in parts:
        yield _array(part, order, [f"{ids[job.id]}  # {place_of(job)}" for job in part.jobs])
    yield _submit_all(parts, order)


def directive(key: str, value: Any) -> str:
    """Return an option of `sbatch` as a line. SLURM takes a backslash for an escape even between single quotes."""
    if value is True:
        return f"#SBATCH --{key}"
    text = one_line(str(value), f"option {key} of sbatch").replace("\\", "\\\\")
    return f"#SBATCH --{key}={shlex.quote(text)}"


def _array(part: Part, order: Order, listed: Sequence[str]) -> Script:
    array = part.array
    batch = order.batch.for_resources(array.resources)
    throttle = f"%{batch.throttle}" if batch.throttle else ""
    needed = needs(array, batch, order.cluster.jobs_per_gpu, warning_s(array, batch))
    asked = {
        "job-name": f"{order.study}.{name_part(part.stage)}",
        "array": f"1-{len(part.jobs)}{throttle}",
        "time": -(-time_limit_s(array, batch) // 60),
        "output": f"{part.name}.%A_%a.out",
        **{key.replace("_", "-"): value for key, value in needed.items()},
    }
    lines = [directive(key, value) for key, value in asked.items()]
    return array_script(part, order, "sbatch", lines, listed, jobs=("behind its own", "1"), own=_OWN)


def _submit_all(parts: Sequence[Part], order: Order) -> Script:
    numbers = {part.name: f"id{number}" for number, part in enumerate(parts, 1)}
    lines = [
        "#!/bin/bash",
        f"# Submits study {order.study}, stages in order. Run it in the project's folder; output files go there.",
        *SUBMIT_HEAD,
        "",
        *order.separated(_submission(part, numbers) for part in parts),
        "",
        *(f'echo "{part.name}: ${{{numbers[part.name]}%%;*}}"' for part in parts),
    ]
    return script(SUBMIT_FILE, lines)


def _submission(part: Part, numbers: dict[str, str]) -> str:
    # What sbatch says with --parsable is the number, and behind a semicolon the cluster where there are several.
    parents = ":".join(f"${{{numbers[name]}%%;*}}" for name in part.after)
    after = f'--dependency="afterany:{parents}" --kill-on-invalid-dep=yes ' if parents else ""
    return f'{numbers[part.name]}=$(sbatch --parsable {after}"$here/{part.name}.sbatch" "$here/{JOBS_FILE}")'
