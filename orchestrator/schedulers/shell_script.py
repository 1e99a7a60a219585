"""Command files: one command a line, to be run in a shell, or line by line by whatever takes such files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seedfold.jobs.errors import counted
from seedfold.orchestrator.schedulers.rendered_script import (
    JOBS_FILE,
    Order,
    Part,
    Script,
    place_of,
    script,
    short_ids,
    shown,
)


def scripts(parts: Sequence[Part], order: Order) -> Iterator[Script]:
    """Yield the file of each part."""
    ids = short_ids(parts)
    for part in parts:
        commands = (f"{order.command(ids[job.id])}  # {place_of(job)}" for job in part.jobs)
        lines = [
            "#!/bin/bash",
            f"# Stage {shown(part.stage)} of study {order.study}: {counted(len(part.jobs), 'job')}, one command each.",
            "# Run it in the project's folder. What is done is not done again; 1 is returned if anything failed.",
            f'jobs=$(dirname -- "$0")/{JOBS_FILE}',
            "failed=0",
            "trap 'failed=1' ERR",
            "trap 'exit 130' INT",
            *order.setup(part.jobs[0]),
            "",
            *order.separated(commands),
            "",
            'exit "$failed"',
        ]
        yield script(f"{part.name}.sh", lines)
