"""Snapshots: copies of the code of a study, made when jobs are submitted.

Jobs run the copy, even if the code is edited later.

``<root>/<study>/code/snapshots/DIGEST/`` is complete or absent. Its folder ``modules/`` has the modules by import name
and is first on the import path of workers and jobs; ``snapshot.json`` records what the snapshot holds and where the
code comes from. Equal content has one digest and is written once. Large files, and other files in the folders of the
modules, are links to the originals, because a snapshot holds code and never data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.work import SNAPSHOT_RECORD
from seedfold.orchestrator.code.command_files import read_job_code
from seedfold.orchestrator.code.source_files import (
    SourceFile,
    SourceFiles,
    program_folders,
)
from seedfold.orchestrator.ledger.atomic_files import write_atomically
from seedfold.orchestrator.ledger.layout import ROOT_MARK, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.results.store.atomic_files import fsync_path

UNFINISHED_PREFIX = ".new-"
_MAX_ENTRIES = 200
_THREADS = 8
_SCHEDULERS = "seedfold/orchestrator/schedulers"
# Seedfold's own modules that every worker imports. Python compiles any other when it is imported first.
_OF_WORKERS = (
    *(f"seedfold/{folder}__init__.py" for folder in ("", "results/", "results/imports/", "orchestrator/")),
    "seedfold/results/imports/run.py",
    *(f"{_SCHEDULERS}/{name}.py" for name in ("__init__", "backend", "scheduled_worker", "submission_attempts")),
    *(f"{_SCHEDULERS}/{kind}/{name}.py" for kind in ("slurm", "lsf") for name in ("__init__", "worker_environment")),
    "seedfold/jobs/",
    "seedfold/results/store/",
    "seedfold/results/recording/",
    *(f"seedfold/orchestrator/{room}/" for room in ("settings", "ledger", "code", "state", "worker")),
)


def read_snapshot_record(study: StudyFolder, digest: str) -> dict[str, Any]:
    """Read ``snapshot.json`` of a snapshot. Raises FileNotFoundError if the snapshot is gone."""
    record: dict[str, Any] = json.loads((study.snapshots_folder / digest / SNAPSHOT_RECORD).read_text(encoding="utf-8"))
    return record


def snapshot_roots(ledger: Ledger) -> list[str]:
    """The folders that the code was imported from which was handed over last; those of older versions do not say."""
    return roots_of_snapshot(ledger.study, last_snapshot(ledger))


def last_snapshot(ledger: Ledger) -> str | None:
    """The snapshot of the code that was handed over last; None if there is none."""
    submitted = ledger.last_submission_of.values()
    last = max((one for one in submitted if one.snapshot), key=lambda one: one.created, default=None)
    return None if last is None else last.snapshot


def roots_of_snapshot(study: StudyFolder, digest: str | None) -> list[str]:
    """The folders that the code of a snapshot was imported from; none if the snapshot is gone."""
    if digest is None:
        return []
    try:
        return list(read_snapshot_record(study, digest).get("roots", ()))
    except FileNotFoundError:
        return []


def left_out_packages(study: StudyFolder, digests: Iterable[str | None]) -> list[str]:
    """The packages that these snapshots do not hold because they are too large."""
    return sorted(
        {name for digest in set(digests) - {None} for name in read_snapshot_record(study, str(digest))["left_out"]}
    )


def take_snapshot(study: StudyFolder, jobs: Iterable[JobDescription], folder: Path) -> str:
    """Make a snapshot of the code that these jobs would run if they were started now in ``folder``.

    Return its digest.
    """
    jobs = list(jobs)
    sources = read_job_code(jobs, folder, program_folders(jobs))
    table = {name: _source_digest(source) for name, source in sources.files.items()}
    digest = hashlib.sha256(json.dumps(table).encode()).hexdigest()[:16]
    final = study.snapshots_folder / digest
    if (final / SNAPSHOT_RECORD).exists():
        _rewrite_missing(final / "modules", sources)
        # The snapshot is in use: garbage collection must not remove it now.
        with contextlib.suppress(PermissionError):
            os.utime(final)
    else:
        _write_snapshot(final, sources, table, folder)
    _link_data_files(final / "modules", sources.import_roots, study.path.parent)
    return digest


def _source_digest(source: SourceFile) -> str:
    if source.content is None:
        return f"-> {source.path}"
    return hashlib.sha256(source.content).hexdigest()[:16] + ("x" if source.executable else "")


def _write_snapshot(final: Path, sources: SourceFiles, table: dict[str, str], folder: Path) -> None:
    """Write a snapshot to a temporary folder and rename it.

    If another process has written the same snapshot meanwhile, that one is used.
    """
    from seedfold.orchestrator.code.git_provenance import copy_provenance, save_provenance

    temporary = final.with_name(f"{UNFINISHED_PREFIX}{os.urandom(6).hex()}")
    (temporary / "modules").mkdir(parents=True)
    try:
        _write_files(temporary / "modules", sources.files)
        record = {
            "created": round(time.time(), 3),
            "folder": str(folder),
            "left_out": list(sources.left_out_packages),
            "git": [*save_provenance(sources, temporary), *copy_provenance(folder, temporary)],
            "files": table,
        }
        write_atomically(temporary / SNAPSHOT_RECORD, [json.dumps(record, indent=1)])
        _publish(temporary, final, sources)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, final: Path, sources: SourceFiles) -> None:
    try:
        temporary.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        _rewrite_missing(final / "modules", sources)
        with contextlib.suppress(FileExistsError):
            os.link(temporary / SNAPSHOT_RECORD, final / SNAPSHOT_RECORD)
    fsync_path(final.parent)


def _write_files(modules_folder: Path, files: dict[str, SourceFile]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from seedfold.orchestrator.code.cached_bytecode import write_bytecode

    for folder in sorted({(modules_folder / name).parent for name in files}):
        folder.mkdir(parents=True, exist_ok=True)
    items = list(files.items())
    # A share for each thread: handing files over one by one takes as long as writing them.
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(partial(_write_each, modules_folder), (items[n::_THREADS] for n in range(_THREADS))):
            pass
    write_bytecode(modules_folder, {name: source for name, source in files.items() if name.startswith(_OF_WORKERS)})


def _write_each(modules_folder: Path, items: Iterable[tuple[str, SourceFile]]) -> None:
    for name, source in items:
        _write_file(modules_folder / name, source)


def _write_file(file: Path, source: SourceFile) -> None:
    """Write a file as read-only: tracebacks name it, and people must not edit it by mistake."""
    if source.content is None:
        file.symlink_to(source.path.absolute())
        return
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o555 if source.executable else 0o444)
    with os.fdopen(handle, "wb") as stream:
        stream.write(source.content)
        stream.flush()
        os.fsync(handle)


def _rewrite_missing(modules_folder: Path, sources: SourceFiles) -> None:
    """Write missing files again: scratch file systems delete files that nobody has read for weeks."""
    missing = {name: source for name, source in sources.files.items() if not (modules_folder / name).exists()}
    for name, source in missing.items():
        (modules_folder / name).parent.mkdir(parents=True, exist_ok=True)
        temporary = (modules_folder / name).with_name(f"{UNFINISHED_PREFIX}{os.urandom(6).hex()}")
        _write_file(temporary, source)
        temporary.rename(modules_folder / name)


def _link_data_files(modules_folder: Path, roots: Iterable[Path], root_folder: Path) -> None:
    """Link the data files that code expects in the folder of its package; never other code, and never results."""
    for root in roots:
        for entry in _list_small_folder(root):
            if not _is_code(entry) and not root_folder.is_relative_to(entry.path):
                with contextlib.suppress(FileExistsError):
                    (modules_folder / entry.name).symlink_to(entry.path)


def _is_code(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith((".", "__")) or entry.name.endswith((".py", ".egg-info")):
        return True
    return entry.is_dir() and any(
        inner.name.endswith(".py") or inner.name == ROOT_MARK for inner in _list_small_folder(entry)
    )


def _list_small_folder(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """The entries of a folder; none if there are too many, or if the folder cannot be read."""
    try:
        with os.scandir(folder) as listing:
            entries = list(islice(listing, _MAX_ENTRIES + 1))
    except OSError:
        return []
    return entries if len(entries) <= _MAX_ENTRIES else []
