"""Which code computed a result: the digests of the source files that were loaded and do not come with an installation.

The table of files is kept once per content under ``<root>/<study>/code/``; results name it by its digest. A file counts
with the content that it had when `digest_loaded_files` first saw it: what is edited later is not what the process runs.
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
    """Whether a file comes with Python or with an installed package, and so is not edited."""
    return file.startswith(_installation_folders()) or "/site-packages/" in file or "/dist-packages/" in file


_EXCLUDED_PACKAGE = "seedfold.orchestrator"


def _loaded_source_files() -> Iterator[tuple[str, Path]]:
    """(path under the import root, file) of each loaded module that computes, and is Seedfold's or not installed."""
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
    """Note the content of files loaded since the last call, to be called soon after they were imported."""
    for _, path in _loaded_source_files():
        if path not in _digest_of_file and path.exists():
            _digest_of_file[path] = digest_file(path)


def record_code(study: StudyFolder) -> str:
    """Record the code that this process has loaded; return the digest that names the record."""
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
    """Name the first file that no longer has the recorded content, looked up under the import roots; None if none."""
    file = study.path / "code" / f"{digest}.json"
    if not file.exists():
        return f"no record {digest}"
    table: Mapping[str, str] = json.loads(file.read_text())
    for name, recorded in table.items():
        found = next((root / name for root in import_roots if (root / name).exists()), None)
        if found is None or digest_file(found) != recorded:
            return name
    return None
