"""Which code made predictions that were imported, as the person says who imports them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.code.code_records import write_code_record
from seedfold.orchestrator.code.digests import digest_file
from seedfold.orchestrator.ledger.layout import StudyFolder


def find_code_files(paths: Sequence[str]) -> list[Path]:
    """Return files, and the Python files below folders. Raises UsageError for one that is not there or holds none."""
    return list(dict.fromkeys(file for path in paths for file in _files_of(Path(path).absolute())))


def _files_of(path: Path) -> Iterator[Path]:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise UsageError(f"--code {path}: {'holds no Python file' if path.is_dir() else 'no such file'}")
    yield from files


def record_imported_code(study: StudyFolder, files: Iterable[Path], folder: Path) -> str:
    """Record these files, by their names below ``folder`` where they lie there; nothing, as ``""``, without files."""
    paths = {_name_in(folder, file): file for file in files}
    if not paths:
        return ""
    digests = {name: digest_file(file) for name, file in sorted(paths.items())}
    table = {"files": digests, "stages": {}, "packages": {}}
    return write_code_record(study, table, {digest: paths[name] for name, digest in digests.items()})


def _name_in(folder: Path, file: Path) -> str:
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)
