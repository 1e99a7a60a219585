"""Scripts for `sbatch`: one array for each part, and one script that submits them in order."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seedfold.orchestrator.schedulers.rendered_script import (
    JOBS_FILE,
    SUBMIT_FILE,
    SUBMIT_HEAD,
    RenderRequest,
    ScriptFile,
    ScriptJobs,
    make_array_script,
    make_script,
    require_one_line,
    safe_name,
    short_ids,
)
from seedfold.orchestrator.schedulers.slurm.backend import task_options
from seedfold.orchestrator.schedulers.task_request import time_limit_s, warning_s

_TASK_ID = "${ids[SLURM_ARRAY_TASK_ID - 1]}"


def scripts(jobs_of_scripts: Sequence[ScriptJobs], request: RenderRequest) -> Iterator[ScriptFile]:
    """Yield the script of each part's array, and the script that submits all of them."""
    ids = short_ids(jobs_of_scripts)
    for part in jobs_of_scripts:
        yield _array_script(part, request, ids)
    yield _submit_all_script(jobs_of_scripts, request)


def directive(key: str, value: Any) -> str:
    """Return an option of `sbatch` as a line. SLURM reads a backslash as an escape even between single quotes."""
    if value is True:
        return f"#SBATCH --{key}"
    text = require_one_line(str(value), f"option {key} of sbatch").replace("\\", "\\\\")
    return f"#SBATCH --{key}={shlex.quote(text)}"


def _array_script(jobs_of_script: ScriptJobs, request: RenderRequest, ids: Mapping[str, str]) -> ScriptFile:
    array = jobs_of_script.array
    batch = request.batch.for_resources(array.resources)
    throttle = f"%{batch.throttle}" if batch.throttle else ""
    needed_options = task_options(array, batch, request.cluster.most_jobs_per_gpu, warning_s(array, batch))
    sbatch_options = {
        "job-name": f"{request.study}.{safe_name(jobs_of_script.stage)}",
        "array": f"1-{len(jobs_of_script.tasks)}{throttle}",
        "time": -(-time_limit_s(array, batch) // 60),
        "output": f"{jobs_of_script.name}.%A_%a.out",
        **{key.replace("_", "-"): value for key, value in needed_options.items()},
    }
    lines = [directive(key, value) for key, value in sbatch_options.items()]
    return make_array_script(
        jobs_of_script,
        request,
        "sbatch",
        lines,
        ids,
        jobs_file_argument=("as its argument", "1"),
        task_id_expression=_TASK_ID,
    )


def _submit_all_script(jobs_of_scripts: Sequence[ScriptJobs], request: RenderRequest) -> ScriptFile:
    variables = {part.name: f"id{number}" for number, part in enumerate(jobs_of_scripts, 1)}
    lines = [
        "#!/bin/bash",
        f"# Submits study {request.study}, stages in order. Run it in the project's folder; output files go there.",
        *SUBMIT_HEAD,
        "",
        *request.with_separators(_submit_command(part, variables) for part in jobs_of_scripts),
        "",
        *(f'echo "{part.name}: ${{{variables[part.name]}%%;*}}"' for part in jobs_of_scripts),
    ]
    return make_script(SUBMIT_FILE, lines)


def _submit_command(jobs_of_script: ScriptJobs, variables: dict[str, str]) -> str:
    # With --parsable sbatch prints the number and, if there are several clusters, a semicolon and the cluster.
    parent_ids = ":".join(f"${{{variables[name]}%%;*}}" for name in jobs_of_script.parent_scripts)
    dependency = f'--dependency="afterany:{parent_ids}" --kill-on-invalid-dep=yes ' if parent_ids else ""
    script = f'"$here/{jobs_of_script.name}.sbatch" "$here/{JOBS_FILE}"'
    return f"{variables[jobs_of_script.name]}=$(sbatch --parsable {dependency}{script})"
