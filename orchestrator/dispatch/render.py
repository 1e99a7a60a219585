"""A study as files that a person reads, edits and runs by hand: descriptions of all jobs, and scripts that do them.

Nothing in the folder depends on where it lies: it may be moved. It is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from seedfold.jobs.canonical import canonical_flat
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.dispatch.rendered_job import SETTINGS_FILE
from seedfold.orchestrator.schedulers.rendered_script import JOBS_FILE, Order, Part, Script, name_part, one_line
from seedfold.results.store.atomic_files import sync

TARGETS: Mapping[str, str] = {
    "shell": "seedfold.orchestrator.schedulers.shell_script",
    "sbatch": "seedfold.orchestrator.schedulers.slurm.script",
    "bsub": "seedfold.orchestrator.schedulers.lsf.script",
}
"""The module that writes the scripts of each target, with a function ``scripts``."""
_LARGEST_ARRAY = 1000


def render(
    out: Path, target: str, order: Order, jobs: Sequence[JobDescription], chosen: Sequence[JobDescription]
) -> list[str]:
    """Write the folder ``out`` with all ``jobs`` of a study and scripts for those chosen; return the scripts' names.

    Raises UsageError, and writes nothing, if there are none, the folder is not empty, or a value cannot be rendered.
    """
    order.check()
    _check_folder(out)
    if not chosen:
        raise UsageError(f"study {order.study}: no jobs to render")
    parts = list(cut(chosen, order.most, arrays=target != "shell"))
    scripts: list[Script] = list(import_module(TARGETS[target]).scripts(parts, order))
    settings = json.dumps({"study": order.study, "settings": dict(order.settings)}, indent=1, ensure_ascii=False)
    _write_folder(out, [Script(SETTINGS_FILE, settings + "\n", runs=False), *scripts], jobs)
    return [one.name for one in scripts]


def cut(jobs: Iterable[JobDescription], most: int | None, arrays: bool) -> Iterator[Part]:
    """Cut jobs into parts of one stage, and in ``arrays`` of equal resources, of at most so many jobs each."""
    most = most or (_LARGEST_ARRAY if arrays else None)
    holding: dict[str, str] = {}
    stages = _by_stage(jobs)
    for number, (stage, members) in enumerate(stages.items(), 1):
        pieces = [piece for group in _groups(members, arrays) for piece in _pieces(group, most)]
        for place, piece in enumerate(pieces, 1):
            name = f"{number:0{max(2, len(str(len(stages))))}d}_{name_part(stage)}"
            if len(pieces) > 1:
                name += f"_{place:0{max(3, len(str(len(pieces))))}d}"
            parents = {holding[parent]: None for job in piece for parent in job.parents if parent in holding}
            yield Part(name, stage, piece, tuple(sorted(parents)))
            holding |= {job.id: name for job in piece}


def _by_stage(jobs: Iterable[JobDescription]) -> dict[str, list[JobDescription]]:
    stages: dict[str, list[JobDescription]] = {}
    seen: set[str] = set()
    for job in jobs:
        # Equal points of two stages are one job, which the first of them does.
        if job.id not in seen:
            seen.add(job.id)
            stages.setdefault(job.stage, []).append(job)
    return stages


def _groups(jobs: Sequence[JobDescription], arrays: bool) -> list[list[JobDescription]]:
    groups: dict[str, list[JobDescription]] = {}
    for job in jobs:
        groups.setdefault(canonical_flat(job.resources.to_dict()) if arrays else "", []).append(job)
    return list(groups.values())


def _pieces(jobs: Sequence[JobDescription], most: int | None) -> Iterator[tuple[JobDescription, ...]]:
    for start in range(0, len(jobs), most or len(jobs)):
        yield tuple(jobs[start : start + (most or len(jobs))])


def _check_folder(out: Path) -> None:
    one_line(str(out), "--out")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(f"--out {out}: is no folder; name a new one")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"--out {out}: is not empty; name a new folder, or remove this one first")


def _write_folder(out: Path, files: Iterable[Script], jobs: Iterable[JobDescription]) -> None:
    final = out.absolute()
    final.parent.mkdir(parents=True, exist_ok=True)
    beside = final.with_name(f".{final.name[:100]}.{os.urandom(6).hex()}")
    try:
        beside.mkdir()
        with (beside / JOBS_FILE).open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(json.dumps(job.to_dict(), ensure_ascii=False) + "\n" for job in jobs)
        for one in files:
            (beside / one.name).write_bytes(one.text.encode(errors="surrogateescape"))
            (beside / one.name).chmod(0o777 & ~_umask() if one.runs else 0o666 & ~_umask())
        for path in (*beside.iterdir(), beside):
            sync(path)
        beside.rename(final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
