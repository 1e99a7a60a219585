"""Scripts for `bsub`: one array for each part, and one script that submits them in order. Amounts have units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from seedfold.orchestrator.schedulers.lsf.directives import directive_lines
from seedfold.orchestrator.schedulers.lsf.task_request import array_request
from seedfold.orchestrator.schedulers.rendered_script import (
    JOBS_FILE,
    SUBMIT_FILE,
    SUBMIT_HEAD,
    RenderRequest,
    ScriptFile,
    ScriptJobs,
    make_array_script,
    make_script,
    safe_name,
    short_ids,
)

_TASK_ID = "${ids[LSB_JOBINDEX - 1]}"
_SUBMIT_FUNCTION = r"""
# submit FILE [OPTION]...: submits FILE with these options of bsub; $id is then the number of the job.
submit() {
    local said
    said=$(bsub "${@:2}" < "$here/$1")
    id=$(sed -n 's/^Job <\([0-9]*\)> is submitted.*/\1/p' <<< "$said")
    [ -n "$id" ] || { echo "$1: bsub gave no number: $said" >&2; exit 1; }
    echo "${1%.bsub}: $id"
}
""".strip().splitlines()


def scripts(jobs_of_scripts: Sequence[ScriptJobs], render_request: RenderRequest) -> Iterator[ScriptFile]:
    """Yield the script of each part's array, and the script that submits all of them."""
    ids = short_ids(jobs_of_scripts)
    for part in jobs_of_scripts:
        yield _array_script(part, render_request, ids)
    yield _submit_all_script(jobs_of_scripts, render_request)


def _array_script(jobs_of_script: ScriptJobs, render_request: RenderRequest, ids: Mapping[str, str]) -> ScriptFile:
    request = replace(
        array_request(jobs_of_script.array, render_request.cluster, _script_dialect(render_request)),
        name=f"{render_request.study}.{safe_name(jobs_of_script.stage)}",
        array_size=len(jobs_of_script.tasks),
        output=f"{jobs_of_script.name}.%J.%I.out",
        rerunnable=False,
    )
    jobs_file_argument = ("in SEEDFOLD_JOBS", "SEEDFOLD_JOBS")
    return make_array_script(
        jobs_of_script,
        render_request,
        "bsub",
        directive_lines(request),
        ids,
        jobs_file_argument=jobs_file_argument,
        task_id_expression=_TASK_ID,
    )


def _script_dialect(render_request: RenderRequest) -> str:
    """The configured dialect. It cannot be detected, because a script may be meant for another machine."""
    configured = render_request.cluster.lsf.dialect if render_request.cluster.lsf else "auto"
    return "lsf10" if configured == "auto" else configured


def _submit_all_script(jobs_of_scripts: Sequence[ScriptJobs], render_request: RenderRequest) -> ScriptFile:
    variables = {part.name: f"id{number}" for number, part in enumerate(jobs_of_scripts, 1)}
    submit_lines = [
        "#!/bin/bash",
        f"# Submits study {render_request.study}, stages in order. Run it in the project's folder;"
        " output files go there.",
        *SUBMIT_HEAD,
        f'export SEEDFOLD_JOBS="$here/{JOBS_FILE}"',
        "unset BSUB_QUIET",
        "",
        *_SUBMIT_FUNCTION,
        "",
        *render_request.with_separators(_submit_command(part, variables) for part in jobs_of_scripts),
    ]
    return make_script(SUBMIT_FILE, submit_lines)


def _submit_command(jobs_of_script: ScriptJobs, variables: dict[str, str]) -> str:
    condition = " && ".join(f"ended(${variables[name]})" for name in jobs_of_script.parent_scripts)
    dependency = f' -w "{condition}"' if condition else ""
    return f"submit {jobs_of_script.name}.bsub{dependency}; {variables[jobs_of_script.name]}=$id"
