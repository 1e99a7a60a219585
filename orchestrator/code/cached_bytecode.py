"""Bytecode for the modules of a snapshot: what Python has compiled before need not be compiled by every new worker.

It is taken from where Python keeps it beside the original, after Python has compiled what only workers import. It names
the size and the time of the file in the snapshot, as bytecode does everywhere: Python compiles a module of the snapshot
anew if somebody has changed it, and need not read it to find that out.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path

from seedfold.orchestrator.code.source_files import SourceFile

_HEADER_BYTES = 16
_BY_TIME = (0).to_bytes(4, "little")
# A source that is edited twice within the resolution of its recorded time, which is a second, keeps its old bytecode.
_SETTLED_NS = 2_000_000_000


def write_bytecode(modules_folder: Path, modules: Mapping[str, SourceFile]) -> None:
    """Write the bytecode of modules, by their file names below a folder, as far as Python keeps it."""
    for name, source in modules.items():
        bytecode = None if source.content is None else _compiled(name, source.path, source.content)
        if bytecode is not None:
            copy = modules_folder / name
            file = Path(importlib.util.cache_from_source(str(copy)))
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(_header(copy.stat()) + bytecode)


def _compiled(name: str, source: Path, content: bytes) -> bytes | None:
    found = cached_bytecode(source, content)
    if found is not None or sys.dont_write_bytecode:
        return found
    # Python keeps what it compiles for an import.
    with suppress(OSError, SyntaxError, ValueError):
        SourceFileLoader(Path(name).stem, str(source)).get_code(Path(name).stem)
    return cached_bytecode(source, content)


def cached_bytecode(source: Path, content: bytes) -> bytes | None:
    """Return the bytecode of ``source``, which reads ``content``, without the header of its file.

    None where Python has not compiled it, or where it is not certain that this is what it has compiled.
    """
    try:
        file = Path(importlib.util.cache_from_source(str(source)))
        cached, cached_state, state = file.read_bytes(), file.stat(), source.stat()
    except (OSError, NotImplementedError):
        return None
    is_settled = cached_state.st_mtime_ns - state.st_mtime_ns > _SETTLED_NS
    if cached[:_HEADER_BYTES] != _header(state) or state.st_size != len(content) or not is_settled:
        return None
    return cached[_HEADER_BYTES:]


def _header(source: os.stat_result) -> bytes:
    """The first bytes of a file of bytecode of a source."""
    times = [(number & 0xFFFFFFFF).to_bytes(4, "little") for number in (int(source.st_mtime), source.st_size)]
    return b"".join([importlib.util.MAGIC_NUMBER, _BY_TIME, *times])
