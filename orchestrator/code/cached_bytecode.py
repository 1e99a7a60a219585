"""Bytecode for the modules of a snapshot: what Python has compiled before need not be compiled by every new worker.

It is taken from where Python keeps it beside the original, and written with the digest of the source (PEP 552), so that
Python compiles a module of the snapshot anew unless its source is the one that was compiled.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from seedfold.orchestrator.code.source_files import SourceFile

_HEADER_BYTES = 16
_BY_TIME, _BY_CHECKED_DIGEST = (0).to_bytes(4, "little"), (3).to_bytes(4, "little")
# A source that is edited twice within the resolution of its recorded time, which is a second, keeps its old bytecode.
_SETTLED_NS = 2_000_000_000


def write_bytecode(modules_folder: Path, modules: Mapping[str, SourceFile]) -> None:
    """Write the bytecode of modules, by their file names below a folder, as far as Python has compiled them already."""
    for name, source in modules.items():
        bytecode = None if source.content is None else cached_bytecode(source.path, source.content)
        if bytecode is not None:
            file = Path(importlib.util.cache_from_source(str(modules_folder / name)))
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(bytecode)


def cached_bytecode(source: Path, content: bytes) -> bytes | None:
    """Return a file of the bytecode of ``source``, which reads ``content``.

    None where Python has not compiled it, or where it is not certain that this is what it has compiled.
    """
    try:
        file = Path(importlib.util.cache_from_source(str(source)))
        cached, cached_state, state = file.read_bytes(), file.stat(), source.stat()
    except (OSError, NotImplementedError):
        return None
    times = [(number & 0xFFFFFFFF).to_bytes(4, "little") for number in (int(state.st_mtime), state.st_size)]
    header = b"".join([importlib.util.MAGIC_NUMBER, _BY_TIME, *times])
    is_settled = cached_state.st_mtime_ns - state.st_mtime_ns > _SETTLED_NS
    if cached[:_HEADER_BYTES] != header or state.st_size != len(content) or not is_settled:
        return None
    digest = importlib.util.source_hash(content)
    return importlib.util.MAGIC_NUMBER + _BY_CHECKED_DIGEST + digest + cached[_HEADER_BYTES:]
