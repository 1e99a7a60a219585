"""Examines what this machine offers, and what is wrong with it or with a study.

Files written for tests are removed again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import SeedfoldError, count_noun
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.settings.site import read_site_settings
from seedfold.orchestrator.state.given_up import resume_text
from seedfold.orchestrator.state.overview import Overview, dead_workers_of, job_label, unique_by_id
from seedfold.orchestrator.worker.slots import visible_gpus

PACKAGES = ("seedfold", "torch", "pytorch-lightning", "hydra-core", "submitit", "pandas", "pyarrow", "duckdb")
_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "beegfs",
    "cifs",
    "smb3",
    "ceph",
    "glusterfs",
    "panfs",
    "wekafs",
    "orangefs",
}
_MIN_FREE_BYTES = 10 * 1024**3
_TORCH_LIMIT_S = 120
SKEW_WARNING_S, SKEW_PROBLEM_S = 2.0, 60.0
_TORCH_PROGRAM = (
    "import json, torch; cuda = torch.cuda.is_available();"
    "print(json.dumps([torch.__version__, torch.version.cuda, torch.cuda.device_count() if cuda else 0]))"
)


def examine_machine(root: Root) -> Iterator[Finding]:
    """Examine this machine and the root, the fastest checks first."""
    yield _examine_processors()
    yield from _examine_gpus_and_torch()
    yield _examine_packages()
    yield _examine_site_file()
    yield from _examine_root(root)


def _examine_processors() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    text = (
        f"{len(os.sched_getaffinity(0))} CPUs, {_gigabytes(memory.available)} of {_gigabytes(memory.total)} memory free"
    )
    return Finding("ok", "machine", f"{os.uname().nodename}: {text}")


def _gigabytes(size: float) -> str:
    return f"{size / 1024**3:.1f} GB"


def _examine_gpus_and_torch() -> Iterator[Finding]:
    gpus = visible_gpus()
    gpu_texts = ", ".join(f"{gpu.index}: {_gigabytes(gpu.free_bytes)} free" for gpu in gpus)
    yield Finding("ok", "GPUs", gpu_texts or "the driver shows none")
    try:
        process = subprocess.run(
            [sys.executable, "-c", _TORCH_PROGRAM], capture_output=True, text=True, timeout=_TORCH_LIMIT_S, check=True
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            "warning", "torch", f"the import took more than {_TORCH_LIMIT_S} s", "check whether the file system is slow"
        )
        return
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding("problem", "torch", f"cannot be imported: {last}", "install torch again in this environment")
        return
    yield _examine_torch(len(gpus), *json.loads(process.stdout))


def _examine_torch(gpus: int, release: str, cuda: str | None, devices: int) -> Finding:
    build = f"CUDA {cuda}, {count_noun(devices, 'device')}" if cuda else "built for CPUs only"
    text = f"{release}, {build}"
    if gpus and not devices:
        text = f"{text}, but the driver shows {count_noun(gpus, 'GPU')}"
        return Finding("warning", "torch", text, "install torch built for CUDA")
    return Finding("ok", "torch", text)


def _examine_packages() -> Finding:
    missing = []
    versions = [f"python {sys.version.split()[0]}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        return Finding("problem", "packages", f"not installed: {', '.join(missing)}", "pip install seedfold again")
    return Finding("ok", "packages", ", ".join(versions))


def _examine_site_file() -> Finding:
    try:
        settings = read_site_settings()
    except SeedfoldError as error:
        return Finding("problem", "site file", str(error), "correct or remove it")
    return Finding("ok", "site file", ", ".join(settings) or "none")


# --- the root ---------------------------------------------------------------------------------------------------------


def _examine_root(root: Root) -> Iterator[Finding]:
    """Examine the root's file system, in the root or, if it does not exist, where it would be created."""
    existing_folder = next(folder for folder in (root.path, *root.path.parents) if folder.is_dir())
    missing_text = "" if existing_folder == root.path else f" does not exist yet; examined is {existing_folder}"
    yield Finding("ok", "root", f"{root.path}{missing_text}")
    if not os.access(existing_folder, os.W_OK | os.X_OK):
        yield Finding(
            "problem",
            "root",
            f"{existing_folder} is not writable",
            "name another root with --root, or change the permissions of the folder",
        )
        return
    yield _examine_disk(existing_folder)
    with _scratch_folder(existing_folder) as scratch:
        yield _examine_exclusive_creation(scratch)
        yield _examine_clock(scratch)


@contextmanager
def _scratch_folder(parent: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".doctor-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _examine_disk(folder: Path) -> Finding:
    kind = file_system_type(folder)
    free = shutil.disk_usage(folder).free
    shared = (
        "a network file system"
        if kind in _NETWORK_FILE_SYSTEMS or kind.startswith("fuse.")
        else "not a network file system"
    )
    text = f"{_gigabytes(free)} free on {kind}, {shared}"
    if free < _MIN_FREE_BYTES:
        return Finding("warning", "disk", text, "seedfold gc STUDY lists what may be deleted")
    return Finding("ok", "disk", text)


def file_system_type(folder: Path) -> str:
    """Return the kind of file system that a folder is on, such as ``ext4`` or ``nfs4``."""
    import psutil

    resolved_folder = folder.resolve()
    mounts = [one for one in psutil.disk_partitions(all=True) if resolved_folder.is_relative_to(one.mountpoint)]
    nearest = max(mounts, key=lambda one: len(one.mountpoint), default=None)
    return str(nearest.fstype) if nearest else "unknown"


def _examine_exclusive_creation(scratch: Path) -> Finding:
    try:
        works = create_once(scratch / "claim", "1") and not create_once(scratch / "claim", "2")
        (scratch / "first").touch()
    except OSError as error:
        return Finding("problem", "claims", f"no file can be created: {error}", "use a root on another file system")
    if not works:
        return Finding(
            "problem",
            "claims",
            "exclusive creation does not work: a file could be created twice",
            "use a root on another file system",
        )
    try:
        os.link(scratch / "first", scratch / "second")
    except OSError as error:
        text = f"there are no hard links ({error.strerror}); exclusive creation works on this machine"
        remedy = "if several machines use the root, ask whether O_EXCL holds between them"
        return Finding("warning", "claims", text, remedy)
    return Finding("ok", "claims", "exclusive creation works")


def _examine_clock(scratch: Path) -> Finding:
    file = scratch / "clock"
    before = time.time()
    file.touch()
    skew = file.stat().st_mtime - before
    text = f"the file system's clock differs by {abs(skew):.1f} s"
    if abs(skew) > SKEW_PROBLEM_S:
        return Finding(
            "problem", "clock", text, "set the clocks, because what several machines recorded is put in order by them"
        )
    if abs(skew) > SKEW_WARNING_S:
        return Finding("warning", "clock", text, "let NTP set the clocks of the host and of the file server")
    return Finding("ok", "clock", text)


# --- a study ----------------------------------------------------------------------------------------------------------


def examine_study(root: Root, study: StudyFolder) -> Iterator[Finding]:
    """Look for lost jobs and dead workers in one study."""
    overview = Overview(root, study.name)
    views = unique_by_id(overview.job_views())
    lost = [view for view in views if view.state == "lost"]
    dead_workers = dead_workers_of(overview, views)
    way_on = resume_text(overview.states, views)
    if lost:
        text = f"{count_noun(len(lost), 'lost job')}, e.g. {job_label(lost[0].job)}: {lost[0].job_state.reason}"
        yield Finding("warning", study.name, text, way_on)
    for one in dead_workers:
        text = f"{one.exit_reason()}, {count_noun(one.job_count, 'job waits', 'jobs wait')}"
        yield Finding("warning", study.name, text, way_on)
    if not (lost or dead_workers):
        yield Finding("ok", study.name, f"{count_noun(len(views), 'job')}, no lost jobs and no dead workers")


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A published result that is to be checked. ``name`` is for people."""

    folder: Path
    files: Any
    record: Any
    name: str


def find_stored_results(root: Root, study: StudyFolder) -> list[StoredResult]:
    """The results of the jobs of a study that are done."""
    results = []
    for view in unique_by_id(Overview(root, study.name).job_views()):
        event = view.job_state.event
        if event is not None and event["e"] == "done" and view.job_state.holding_study == study:
            results.append(
                StoredResult(
                    study.result_folder(view.job.id, event["n"]),
                    event["files"],
                    event.get("result"),
                    job_label(view.job),
                )
            )
    return results


def examine_store(study: StudyFolder, results: Iterable[StoredResult]) -> Iterator[Finding]:
    """Read the results completely and compare them with their recorded digests."""
    from seedfold.results.store.published import find_damage

    count = damaged = 0
    for result in results:
        count += 1
        reason = find_damage(result.folder, result.files, check_content=True, result=result.record)
        if reason:
            damaged += 1
            text = f"damaged: {result.name}: {reason}"
            yield Finding(
                "problem", study.name, text, f"remove {result.folder}; seedfold resume {study.name} runs it again"
            )
    if not damaged:
        yield Finding("ok", study.name, f"{count_noun(count, 'result')} read completely; all are intact")
