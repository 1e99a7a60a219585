"""Looking past the caches of a file system that several machines share.

A machine may show for a while what a folder or a file was before another machine changed it. Whoever would conclude
that something is *not* there looks past these caches first.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from seedfold.results.store.atomic_files import make_folder, remove_temporary
from seedfold.results.store.passing_errors import try_again

_LOCAL_KINDS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "ramfs", "overlay", "vfat", "exfat", "fuseblk"}
)
_COHERENT_KINDS = frozenset({"lustre", "gpfs", "ceph", "gfs2", "ocfs2"})
"""File systems that tell each machine of the changes that others make."""
_LONGEST_CACHE_S = 60.0
"""That of NFS, if its options say nothing else; others do not say how long theirs are."""
_CACHE_OPTIONS = ("acregmax=", "acdirmax=", "actimeo=")
_NO_CACHE_OPTION = "noac"
_looked_at: dict[Path, float] = {}
_BLOCK = 4096
_BUFFER_BYTES = 1 << 20


@cache
def longest_cache_s(folder: Path) -> float:
    """How many seconds this machine may show an old state of a folder; 0 if it never does."""
    kind, options = _find_mount(folder)
    if kind in _LOCAL_KINDS | _COHERENT_KINDS or _NO_CACHE_OPTION in options:
        return 0.0
    given = (option.partition("=")[2] for option in options if option.startswith(_CACHE_OPTIONS))
    return max((float(seconds) for seconds in given if seconds.isdecimal()), default=_LONGEST_CACHE_S)


def _find_mount(folder: Path) -> tuple[str, list[str]]:
    """The kind and the options of the file system of a folder."""
    resolved, nearest, found = folder.resolve(), Path(), ("unknown", list[str]())
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        place, _, source = line.partition(" - ")
        written = place.split(" ")[4]
        if "\\" not in written and not f"{resolved}/".startswith(f"{written.rstrip('/')}/"):
            continue
        point = Path(written.encode().decode("unicode_escape"))
        # Of two mounts in one place the later one hides the earlier.
        if resolved.is_relative_to(point) and len(point.parts) >= len(nearest.parts):
            kind, _, options = source.split(" ", 2)
            nearest, found = point, (kind, options.partition(" ")[2].split(","))
    return found


def look_past_caches(folder: Path, after_s: float = 0.0) -> None:
    """Have this machine ask the server for the names in a folder, because it has changed the folder itself.

    This is not repeated within ``after_s`` seconds. Who may not write there sees what the caches show.
    """
    now = time.monotonic()
    if now - _looked_at.get(folder, -after_s) < after_s:
        return
    _looked_at[folder] = now
    mark = folder / f".look-{os.urandom(6).hex()}"
    with suppress(OSError):
        make_folder(folder)
        try_again(mark.touch, mark)
        remove_temporary(mark)
        try_again(lambda: os.listdir(folder), folder)  # noqa: PTH208


def can_open(file: Path) -> bool:
    """Whether a file is there; opening it asks the server, which a look at its name need not do."""
    try:
        os.close(try_again(lambda: os.open(file, os.O_RDONLY), file))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read_past_caches(file: Path, start: int) -> bytes:
    """Read a file from a byte to its end, past what this machine has of it in memory if the file system can do that."""
    try:
        return try_again(lambda: _read_directly(file, start), file)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read()


def _read_directly(file: Path, start: int) -> bytes:
    handle, buffer = os.open(file, os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, _BUFFER_BYTES)
    data, place = bytearray(), start - start % _BLOCK
    try:
        count = len(buffer)
        while count == len(buffer):
            count = os.preadv(handle, [buffer], place)
            data += buffer[:count]
            place += count
    finally:
        os.close(handle)
    return bytes(data[start % _BLOCK :])
