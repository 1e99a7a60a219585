"""Writes a study as files that a person edits and runs by hand: descriptions of all jobs, and scripts that run them.

The folder may be moved, because nothing in it depends on its path. It is written completely or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from seedfold.jobs.canonical_json import canonical_flat
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.dispatch.rendered_job import SETTINGS_FILE
from seedfold.orchestrator.schedulers.arrays import make_array
from seedfold.orchestrator.schedulers.packing import PackedJobs, pack
from seedfold.orchestrator.schedulers.rendered_script import (
    JOBS_FILE,
    RenderRequest,
    ScriptFile,
    ScriptJobs,
    require_one_line,
    safe_name,
)
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.scheduler import SchedulerSettings
from seedfold.orchestrator.state.fusing import Fusing
from seedfold.results.store.atomic_files import fsync_path

TARGETS: Mapping[str, str] = {
    "shell": "seedfold.orchestrator.schedulers.shell_script",
    "sbatch": "seedfold.orchestrator.schedulers.slurm.script",
    "bsub": "seedfold.orchestrator.schedulers.lsf.script",
}
"""The module with the function ``scripts`` for each target."""
_LARGEST_ARRAY = 1000


def render(
    out: Path,
    target: str,
    request: RenderRequest,
    jobs: Sequence[JobDescription],
    chosen_jobs: Sequence[JobDescription],
    fusing: Fusing,
) -> list[str]:
    """Write the folder ``out`` with all ``jobs`` of a study and scripts for the chosen ones.

    Jobs that train together, as ``fusing`` says, share a task of an array. Return the names of the scripts.

    Raises UsageError, and writes nothing, if there are no jobs, the folder is not empty, or a value cannot be rendered.
    """
    request.check()
    _check_output_folder(out)
    if not chosen_jobs:
        raise UsageError(f"study {request.study}: there are no jobs to render")
    jobs_of_scripts = list(
        split_into_scripts(chosen_jobs, request.max_commands, fusing, request.cluster, arrays=target != "shell")
    )
    scripts: list[ScriptFile] = list(import_module(TARGETS[target]).scripts(jobs_of_scripts, request))
    settings = json.dumps({"study": request.study, "settings": dict(request.settings)}, indent=1, ensure_ascii=False)
    _write_folder(out, [ScriptFile(SETTINGS_FILE, settings + "\n", executable=False), *scripts], jobs)
    return [one.name for one in scripts]


def split_into_scripts(
    jobs: Iterable[JobDescription],
    most: int | None,
    fusing: Fusing,
    cluster: ClusterSettings,
    *,
    arrays: bool,
) -> Iterator[ScriptJobs]:
    """Cut jobs into scripts of one stage each, with ``arrays`` also of equal resources, and of ``most`` tasks."""
    most = most or (_LARGEST_ARRAY if arrays else None)
    # Arrays are for a scheduler also where the study is configured for this machine.
    cluster = cluster if cluster.scheduler else replace(cluster, scheduler=SchedulerSettings(), slots=None)
    script_of_job: dict[str, str] = {}
    stages = _by_stage(jobs)
    for number, (stage, jobs_of_stage) in enumerate(stages.items(), 1):
        groups = _group_by_resources(jobs_of_stage, arrays)
        packed = (packed for group in groups for packed in _pack(group, fusing if arrays else None, cluster))
        chunks = [piece for one in packed for piece in _chunks(one, most)]
        for chunk_number, piece in enumerate(chunks, 1):
            name = f"{number:0{max(2, len(str(len(stages))))}d}_{safe_name(stage)}"
            if len(chunks) > 1:
                name += f"_{chunk_number:0{max(3, len(str(len(chunks))))}d}"
            parents = {
                script_of_job[parent]: None for job in piece.jobs for parent in job.parents if parent in script_of_job
            }
            array = make_array(piece, cluster)
            yield ScriptJobs(name, stage, piece.jobs, tuple(sorted(parents)), array, piece.together)
            script_of_job |= {job.id: name for job in piece.jobs}


def _by_stage(jobs: Iterable[JobDescription]) -> dict[str, list[JobDescription]]:
    stages: dict[str, list[JobDescription]] = {}
    seen: set[str] = set()
    for job in jobs:
        # Equal points of two stages are one job, which is run by the script of the first stage.
        if job.id not in seen:
            seen.add(job.id)
            stages.setdefault(job.stage, []).append(job)
    return stages


def _group_by_resources(jobs: Sequence[JobDescription], arrays: bool) -> list[list[JobDescription]]:
    groups: dict[str, list[JobDescription]] = {}
    for job in jobs:
        groups.setdefault(canonical_flat(job.resources.to_dict()) if arrays else "", []).append(job)
    return list(groups.values())


def _pack(jobs: Sequence[JobDescription], fusing: Fusing | None, cluster: ClusterSettings) -> Iterable[PackedJobs]:
    """Pack jobs that train together into tasks; each of the others has a task of its own."""
    if fusing is None or fusing.fuse_of(jobs[0]) is None:
        return [PackedJobs(tuple(jobs), per_task=1)]
    return pack(jobs, cluster, fusing)


def _chunks(packed: PackedJobs, most_tasks: int | None) -> Iterator[PackedJobs]:
    size = (most_tasks or len(packed.jobs)) * packed.per_task
    for start in range(0, len(packed.jobs), size):
        yield replace(packed, jobs=packed.jobs[start : start + size])


def _check_output_folder(out: Path) -> None:
    require_one_line(str(out), "--out")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(f"--out {out}: is not a folder; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"--out {out}: is not empty; name a new folder, or remove this one first")


def _write_folder(out: Path, files: Iterable[ScriptFile], jobs: Iterable[JobDescription]) -> None:
    final = out.absolute()
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name[:100]}.{os.urandom(6).hex()}")
    try:
        temporary.mkdir()
        with (temporary / JOBS_FILE).open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(json.dumps(job.to_dict(), ensure_ascii=False) + "\n" for job in jobs)
        for one in files:
            (temporary / one.name).write_bytes(one.text.encode(errors="surrogateescape"))
            (temporary / one.name).chmod(0o777 & ~_read_umask() if one.executable else 0o666 & ~_read_umask())
        for path in (*temporary.iterdir(), temporary):
            fsync_path(path)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
