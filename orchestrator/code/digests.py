"""Which code computed a result: digests of the loaded source files that do not belong to an installed package.

The table of files is stored under ``<root>/<study>/code/``, once for each content, and results name it by its digest.
The content of a file is the one at the first call of `digest_loaded_files` that saw it, because later changes of the
file do not change what the process runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.layout import StudyFolder


@lru_cache(maxsize=4096)
def _cached_digest(path: str, size: int, mtime_ns: int) -> str:
    import hashlib

    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def digest_file(path: Path) -> str:
    """Return the first 16 hexadecimal digits of a file's SHA-256."""
    stat = path.stat()
    return _cached_digest(str(path), stat.st_size, stat.st_mtime_ns)


@cache
def _installation_folders() -> tuple[str, ...]:
    import sysconfig

    paths = sysconfig.get_paths()
    return tuple({f"{paths[key]}/" for key in ("stdlib", "platstdlib", "purelib", "platlib")})


def is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package, and is therefore not edited."""
    return file.startswith(_installation_folders()) or "/site-packages/" in file or "/dist-packages/" in file


_EXCLUDED_PACKAGE = "seedfold.orchestrator"


def _loaded_source_files() -> Iterator[tuple[str, Path]]:
    """(path under the import root, file) of the loaded modules that may change a result and are not installed."""
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py") or name in {"__main__", "__mp_main__"}:
            continue
        if name.startswith(_EXCLUDED_PACKAGE):
            continue
        if name.split(".")[0] == "seedfold" or not is_installed(file):
            suffix = "/__init__.py" if Path(file).name == "__init__.py" else ".py"
            yield name.replace(".", "/") + suffix, Path(file)


_digest_of_file: dict[Path, str] = {}


def digest_loaded_files() -> None:
    """Record the content of the files that were loaded since the last call. Call it soon after imports."""
    for _, path in _loaded_source_files():
        if path not in _digest_of_file and path.exists():
            _digest_of_file[path] = digest_file(path)


def record_code(study: StudyFolder) -> str:
    """Record the code that this process has loaded; return the digest of the record, which is its name."""
    import hashlib

    digest_loaded_files()
    table = json.dumps(
        {name: _digest_of_file[path] for name, path in _loaded_source_files() if path in _digest_of_file}, indent=0
    )
    digest = hashlib.sha256(table.encode()).hexdigest()[:16]
    file = study.path / "code" / f"{digest}.json"
    if not file.exists():
        create_once(file, table)
    return digest


def find_changed_code(study: StudyFolder, digest: str, import_roots: tuple[Path, ...]) -> str | None:
    """Return the first file, looked up under the import roots, that no longer has the recorded content.

    None if there is none.
    """
    file = study.path / "code" / f"{digest}.json"
    if not file.exists():
        return f"there is no record {digest}"
    table: Mapping[str, str] = json.loads(file.read_text())
    for name, recorded in table.items():
        found = next((root / name for root in import_roots if (root / name).exists()), None)
        if found is None or digest_file(found) != recorded:
            return name
    return None
