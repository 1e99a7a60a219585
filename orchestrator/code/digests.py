"""Digests of files by their content, and which files belong to installed packages and are not edited."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path


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
