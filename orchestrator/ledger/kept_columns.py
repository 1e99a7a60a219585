"""Columns of numbers and texts that are kept beside the ledger, to save reading it again: a cache, never the truth.

A file is replaced whole, by a rename, and says with a checksum whether it is whole. It is kept in the ``cache`` folder
of the study, or in the home folder of a user who may not write there. Every such file may be deleted at any time; what
cannot be read or written is read from the ledger again. Who reads one compares it with the ledger before it counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import zlib
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from seedfold.orchestrator.ledger.layout import StudyFolder

_VERSION = 1
"""Of the form of these files. Files of another version are passed over."""
_MAX_AGE_S = 90 * 24 * 3600.0
"""How long a file stays in a home folder after it was written last."""
Column: TypeAlias = "array[Any] | bytes"


@dataclass(frozen=True, slots=True)
class KeptColumns:
    """What was kept: ``facts`` are JSON values, ``columns`` are numbers as an `array` has them, or text."""

    facts: Mapping[str, Any]
    columns: Mapping[str, memoryview]

    def numbers(self, name: str, typecode: str) -> array[Any]:
        """Return a column of numbers."""
        column = array(typecode)
        column.frombytes(self.columns[name])
        return column

    def texts(self, name: str) -> list[str]:
        """Return a column of texts."""
        return list(json.loads(bytes(self.columns[name])))


def texts_column(texts: list[str]) -> bytes:
    """Return texts as a column."""
    return json.dumps(texts, ensure_ascii=True, separators=(",", ":")).encode()


def read_kept(study: StudyFolder, name: str) -> Iterator[KeptColumns]:
    """Yield what was kept under a name, what was written last first. Nothing is yielded that is not whole."""
    for path in sorted(_places(study, name), key=_written_at, reverse=True):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if (kept := _parse(path.read_bytes())) is not None:
                yield kept


def keep(study: StudyFolder, name: str, facts: Mapping[str, Any], columns: Mapping[str, Column]) -> None:
    """Keep columns under a name, for later commands; where that is not possible, they read the ledger again."""
    contents = _contents(facts, columns)
    for path in _places(study, name):
        with suppress(OSError):
            _make_folder(path.parent)
            _replace(path, contents)
            if path.parent == _own_folder():
                _remove_old(path.parent)
            return


def kept_files(study: StudyFolder) -> list[Path]:
    """Return the files that are kept of a study, wherever they are."""
    names = [path for name in ("events", "plans", "answer") for path in _places(study, name)]
    return [path for path in names if path.is_file()]


def _places(study: StudyFolder, name: str) -> list[Path]:
    """The file in the study's own folder, if this user may write there or it is there, and that in the home folder."""
    digest = hashlib.sha256(os.fsencode(study.path.absolute())).hexdigest()[:32]
    return [study.path / "cache" / "ledger" / name, _own_folder() / f"{digest}-{name}"]


def _make_folder(folder: Path) -> None:
    """Make the folder, but never that of a study which was deleted meanwhile."""
    if folder == _own_folder():
        folder.mkdir(parents=True, exist_ok=True)
    else:
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)


def _own_folder() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seedfold" / "ledger"
    except RuntimeError:
        # There is no home folder.
        return Path(os.devnull) / "seedfold"


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _contents(facts: Mapping[str, Any], columns: Mapping[str, Column]) -> list[bytes]:
    parts = [bytes(column) if isinstance(column, bytes) else column.tobytes() for column in columns.values()]
    sizes = {name: len(part) for name, part in zip(columns, parts, strict=True)}
    head = json.dumps({"order": sys.byteorder, "facts": facts, "sizes": sizes}).encode() + b"\n"
    checksum = 0
    for part in (head, *parts):
        checksum = zlib.crc32(part, checksum)
    return [f"seedfold {_VERSION} {checksum}\n".encode(), head, *parts]


def _parse(content: bytes) -> KeptColumns | None:
    """Return the columns; None if they are of another version, of another kind of machine, or not whole."""
    first = content.find(b"\n") + 1
    words = content[:first].split()
    rest = memoryview(content)[first:]
    if words[:2] != [b"seedfold", str(_VERSION).encode()] or zlib.crc32(rest) != int(words[2]):
        return None
    start = content.index(b"\n", first) + 1
    head = json.loads(content[first:start])
    if head["order"] != sys.byteorder:
        return None
    columns = {}
    for name, size in head["sizes"].items():
        columns[name] = memoryview(content)[start : start + size]
        start += size
    return KeptColumns(head["facts"], columns)


def _replace(path: Path, contents: list[bytes]) -> None:
    """Write a file beside ``path`` and rename it. It is not flushed to disk: what a crash damages is not whole."""
    beside = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with beside.open("xb") as file:
            file.writelines(contents)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _remove_old(folder: Path) -> None:
    """Remove what was written long ago, of studies that nobody looks at any more."""
    for path in folder.iterdir():
        if time.time() - _written_at(path) > _MAX_AGE_S:
            path.unlink(missing_ok=True)
