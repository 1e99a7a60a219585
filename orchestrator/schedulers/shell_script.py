"""Command files with one command per line, for a shell or for any program that runs such files line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.schedulers.rendered_script import (
    JOBS_FILE,
    RenderRequest,
    ScriptFile,
    ScriptJobs,
    axes_comment,
    make_script,
    printable,
    short_ids,
)


def scripts(jobs_of_scripts: Sequence[ScriptJobs], request: RenderRequest) -> Iterator[ScriptFile]:
    """Yield the file of each part."""
    ids = short_ids(jobs_of_scripts)
    for part in jobs_of_scripts:
        commands = (f"{request.job_command(ids[job.id])}  # {axes_comment(job)}" for job in part.jobs)
        stage, count = printable(part.stage), count_noun(len(part.jobs), "job")
        lines = [
            "#!/bin/bash",
            f"# Stage {stage} of study {request.study}: {count}, one command for each.",
            "# Run it in the project's folder. Jobs that are done are not run"
            " again; the exit code is 1 if a job failed.",
            f'jobs=$(dirname -- "$0")/{JOBS_FILE}',
            "failed=0",
            "trap 'failed=1' ERR",
            "trap 'exit 130' INT",
            *request.setup_lines(part.jobs[0]),
            "",
            *request.with_separators(commands),
            "",
            'exit "$failed"',
        ]
        yield make_script(f"{part.name}.sh", lines)
