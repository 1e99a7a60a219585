"""A study as one file: a tar archive, compressed with zstd, that any machine can unpack and check.

It has what a copy of the study has, the snapshots of its code, the files for people, and a page and tables that were
made for it. Its last member, ``MANIFEST.json``, has size, time and SHA-256 of every other one: an archive without it is
not whole. The order of the members depends on their names alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from seedfold.jobs.errors import UnreachableError, UsageError
from seedfold.orchestrator.copies.contents import StudyContents
from seedfold.orchestrator.ledger.copy_origin import CopyOrigin
from seedfold.orchestrator.ledger.layout import ROOT_MARK, StudyFolder
from seedfold.results.store.atomic_files import replace_file

_MANIFEST = "MANIFEST.json"
_FORMAT = 1
_NS = 10**9


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """What is in an archive: its ``studies``, the one that it was made of first, the number of files, and bytes."""

    studies: tuple[str, ...]
    files: int
    bytes: int
    time: float


class _Digested:
    """A file that computes the SHA-256 of what is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def write_archive(
    studies: list[StudyFolder], made: Mapping[str, bytes], target: Path, with_checkpoints: bool
) -> ArchiveSummary:
    """Write an archive of studies, whole or not at all. ``made`` are files that were made for it, by their names in it.

    The first study is the one that is archived, the others have done jobs of it.
    """
    sources: dict[str, Path | bytes] = {ROOT_MARK: b"", **made}
    for study in studies:
        for name in _names_of(study, with_checkpoints):
            sources.setdefault(f"{study.name}/{name}", study.path / name)
    records: dict[str, dict[str, Any]] = {}
    manifest = {"format": _FORMAT, "studies": [study.name for study in studies], "time": time.time(), "files": records}
    with replace_file(target) as temporary, _open_tar(temporary, "w") as tar:
        for name in sorted(sources):
            records[name] = _add_member(tar, name, sources[name])
        _add_member(tar, _MANIFEST, json.dumps(manifest, indent=1).encode())
    return _summary(manifest)


def _names_of(study: StudyFolder, with_checkpoints: bool) -> Iterator[str]:
    yield from (entry.name for entry in StudyContents(study, with_checkpoints).list_entries())
    for folder in ("code", "outputs"):
        for place, folders, files in os.walk(study.path / folder):
            # Hidden ones are being written; a snapshot has none that are its own.
            folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
            names = [Path(place, name) for name in files if not name.startswith(".")]
            # Code that is a link would be missing; what a link in outputs leads to is somewhere else for a reason.
            kept = (path for path in names if path.is_file() and not (folder == "outputs" and path.is_symlink()))
            yield from (path.relative_to(study.path).as_posix() for path in kept)


def _add_member(tar: tarfile.TarFile, name: str, source: Path | bytes) -> dict[str, Any]:
    """Add a file, and return what the manifest says of it. Owner and permissions stay behind."""
    member = tarfile.TarInfo(name)
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        status = None if isinstance(source, bytes) else os.fstat(cast("IO[bytes]", file).fileno())
        member.size = len(source) if isinstance(source, bytes) else status.st_size if status else 0
        mtime_ns = status.st_mtime_ns if status else 0
        member.mtime, member.mode = mtime_ns // _NS, 0o644
        digested = _Digested(file)
        tar.addfile(member, cast("IO[bytes]", digested))
    return {"bytes": member.size, "mtime_ns": mtime_ns, "sha256": digested.digest.hexdigest()}


@contextmanager
def _open_tar(file: Path, mode: str) -> Iterator[tarfile.TarFile]:
    import pyarrow as pa

    opened = pa.output_stream if mode == "w" else pa.input_stream
    with (
        opened(str(file), compression="zstd") as stream,
        tarfile.open(fileobj=stream, mode=f"{mode}|", format=tarfile.PAX_FORMAT) as tar,  # type: ignore[call-overload]
    ):
        yield tar


def check_archive(file: Path) -> ArchiveSummary:
    """Read an archive and compare every file with the manifest.

    Raises UsageError if there is no such file, UnreachableError if it is damaged or no archive.
    """
    return _read_archive(file, None)


def open_archive(file: Path, folder: Path) -> ArchiveSummary:
    """Unpack an archive as a root of its own, in which the studies can only be read; checked before it is there.

    Raises as `check_archive` does, and UsageError if there is something in ``folder``.
    """
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists already; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A folder beside it: one rename makes all of it visible.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name[:100]}.", dir=folder.parent) as scratch:
        unpacked = Path(scratch, "root")
        summary = _read_archive(file, unpacked)
        for name in summary.studies:
            CopyOrigin(str(file.absolute()), summary.time).write(StudyFolder(unpacked / name))
        unpacked.rename(folder)
    return summary


def _read_archive(file: Path, into: Path | None) -> ArchiveSummary:
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        with _open_tar(file, "r") as tar:
            found, manifest = _read_members(tar, into)
        _compare(found, manifest["files"], into)
        return _summary(manifest)
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UnreachableError(f"{file}: is damaged, or no archive of Seedfold: {error}") from error
    except OSError as error:
        # The decompression has errors without a number of the system.
        if error.errno is not None:
            raise
        raise UnreachableError(f"{file}: is damaged, or no archive of Seedfold: {error}") from error


def _read_members(tar: tarfile.TarFile, into: Path | None) -> tuple[dict[str, tuple[int, str]], dict[str, Any]]:
    """Return size and SHA-256 of each member, and the manifest; write the members below ``into``."""
    found: dict[str, tuple[int, str]] = {}
    manifest: dict[str, Any] | None = None
    for member in tar:
        content = tar.extractfile(member)
        parts = PurePosixPath(member.name).parts
        if content is None or not parts or ".." in parts or parts[0] == "/" or member.name in found:
            raise ValueError(f"{member.name!r} is no file that an archive has")
        if member.name == _MANIFEST:
            manifest = json.loads(content.read())
            continue
        digested = _Digested(content)
        _copy(digested, None if into is None else into / member.name)
        found[member.name] = member.size, digested.digest.hexdigest()
    if manifest is None:
        raise ValueError("it is not whole: the manifest at its end is missing")
    return found, manifest


def _copy(source: _Digested, target: Path | None) -> None:
    if target is None:
        while source.read(1 << 20):
            continue
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)


def _compare(found: Mapping[str, tuple[int, str]], files: Mapping[str, Mapping[str, Any]], into: Path | None) -> None:
    """Raise ValueError for a file that is missing, too much or changed; give the others the time that they had."""
    for name in sorted(found.keys() | files.keys()):
        if name not in files or name not in found:
            raise ValueError(f"{name} is {'missing' if name in files else 'not in its manifest'}")
        if found[name] != (files[name]["bytes"], files[name]["sha256"]):
            raise ValueError(f"the content of {name} has changed")
        if into is not None:
            os.utime(into / name, ns=(files[name]["mtime_ns"], files[name]["mtime_ns"]))


def _summary(manifest: Mapping[str, Any]) -> ArchiveSummary:
    if manifest["format"] != _FORMAT:
        raise ValueError(f"its format is {manifest['format']}, and this version of Seedfold reads {_FORMAT}")
    files = manifest["files"]
    size = sum(record["bytes"] for record in files.values())
    return ArchiveSummary(tuple(manifest["studies"]), len(files), size, float(manifest["time"]))
