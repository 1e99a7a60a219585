"""A mount that sees a folder as a client of a network file system does: late, and with errors when told.

Attributes, lists of folders and names that are not there are kept for a while, as a client of NFS keeps them. Opening a
file asks the server for its attributes, as NFS does ("close-to-open"), but a name that was missing a moment ago stays
missing. A change by this host in a folder has it forget what it knew of the names there. What is created exclusively,
linked or renamed is decided by the server.
"""

from __future__ import annotations

import errno
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mfusepy
from faults.weather import Weather

CHANGING = frozenset(
    {"create", "mkdir", "write", "link", "symlink", "truncate", "unlink", "rename", "rmdir", "utimens"}
)
FILLING = frozenset({"create", "mkdir", "write", "symlink"})
_UTIME_NOW = (1 << 30) - 1
_STAT_FIELDS = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")


def _attributes_of(found: os.stat_result) -> dict[str, int]:
    times = {f"st_{kind}time": getattr(found, f"st_{kind}time_ns") for kind in "amc"}
    return {name: getattr(found, name) for name in _STAT_FIELDS} | times


class CachedMount(mfusepy.Operations):  # type: ignore[misc]
    """The folder ``server``, seen through a cache of ``keep_s`` seconds."""

    use_ns = True

    def __init__(self, server: str, weather_file: Path, keep_s: float, seed: int) -> None:
        self._server, self._weather_file, self._keep_s = server, weather_file, keep_s
        self._weather, self._weather_read = Weather(), 0
        self._dice = random.Random(seed)
        self._attributes: dict[str, tuple[float, dict[str, int] | None]] = {}
        self._lists: dict[str, tuple[float, list[tuple[str, int]]]] = {}

    def init_with_config(self, conn_info: Any, config: Any) -> None:
        """The cache is here, and not in the kernel, so that it is the same everywhere."""
        if config is not None:
            config.direct_io = config.use_ino = 1
            config.attr_timeout = config.entry_timeout = config.negative_timeout = 0.0

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _disturb(self, operation: str) -> None:
        try:
            changed = os.stat(self._weather_file).st_mtime_ns  # noqa: PTH116
        except FileNotFoundError:
            return
        if changed != self._weather_read:
            self._weather = Weather(**json.loads(self._weather_file.read_text()))
            self._weather_read = changed
        weather = self._weather
        if weather.full and operation in (CHANGING if weather.full == errno.EROFS else FILLING):
            raise OSError(weather.full, os.strerror(weather.full))
        if weather.share and self._dice.random() < weather.share:
            raise OSError(weather.error, os.strerror(weather.error))

    # --- what is known ------------------------------------------------------------------------------------------------

    def _real(self, path: str) -> str:
        return self._server + path

    def _known(self, path: str) -> tuple[float, dict[str, int] | None] | None:
        known = self._attributes.get(path)
        return known if known is not None and time.monotonic() - known[0] < self._keep_s else None

    def _ask(self, path: str) -> dict[str, int] | None:
        """Ask the server for attributes; None if there is no such name."""
        try:
            found = os.lstat(self._real(path))
        except FileNotFoundError:
            attributes = None
        else:
            attributes = _attributes_of(found)
        self._attributes[path] = time.monotonic(), attributes
        return attributes

    @contextmanager
    def _change(self, operation: str, *paths: str) -> Iterator[None]:
        """This host changes these names: it looks anew at them, and at the folders in which they are."""
        self._disturb(operation)
        try:
            yield
        except OSError:
            # The server knows better: what was known of the name is forgotten.
            for path in paths:
                self._attributes.pop(path, None)
            raise
        for path in paths:
            folder = os.path.dirname(path)  # noqa: PTH120
            self._lists.pop(folder, None)
            for name in [path, folder, *self._missing_in(folder)]:
                self._attributes.pop(name, None)

    def _missing_in(self, folder: str) -> Iterator[str]:
        inside = folder.rstrip("/") + "/"
        for name, (_, attributes) in list(self._attributes.items()):
            if attributes is None and name.startswith(inside):
                yield name

    # --- reading ------------------------------------------------------------------------------------------------------

    def getattr(self, path: str | None, info: Any = None) -> dict[str, int]:
        self._disturb("getattr")
        if path is None:
            return _attributes_of(os.fstat(info.fh))
        known = self._known(path)
        attributes = self._ask(path) if known is None else known[1]
        if attributes is None:
            raise FileNotFoundError(errno.ENOENT, path)
        return attributes

    def readdir(self, path: str, info: Any) -> list[tuple[str, dict[str, int], int]]:
        self._disturb("readdir")
        known = self._lists.get(path)
        if known is None or time.monotonic() - known[0] >= self._keep_s:
            # An entry without a number is left out by the C library.
            entries = [(entry.name, entry.inode()) for entry in os.scandir(self._real(path))]
            known = self._lists[path] = time.monotonic(), [(".", 1), ("..", 1), *entries]
        return [(name, {"st_ino": number}, 0) for name, number in known[1]]

    def open(self, path: str, info: Any) -> int:
        self._disturb("open")
        info.fh = os.open(self._real(path), info.flags & ~(os.O_CREAT | os.O_DIRECT))
        self._ask(path)
        return 0

    def read(self, path: str, size: int, offset: int, info: Any) -> bytes:
        self._disturb("read")
        return os.pread(info.fh, size, offset)

    def readlink(self, path: str) -> str:
        return os.readlink(self._real(path))  # noqa: PTH115

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._server)
        names = (
            "f_bsize",
            "f_frsize",
            "f_blocks",
            "f_bfree",
            "f_bavail",
            "f_files",
            "f_ffree",
            "f_favail",
            "f_namemax",
        )
        return {name: getattr(found, name) for name in names}

    def access(self, path: str, amode: int) -> int:
        return 0

    # --- changing -----------------------------------------------------------------------------------------------------

    def create(self, path: str, mode: int, info: Any = None) -> int:
        """Create a file that this host does not know; another host may have been faster."""
        with self._change("create", path):
            info.fh = os.open(self._real(path), (info.flags | os.O_CREAT) & ~os.O_DIRECT, mode)
            self._own(path)
        return 0

    def _own(self, path: str) -> None:
        user, group, _ = mfusepy.fuse_get_context()
        if (user, group) != (0, 0):
            os.lchown(self._real(path), user, -1 if self._has_group_bit(path) else group)

    def _has_group_bit(self, path: str) -> bool:
        folder = os.path.dirname(self._real(path))  # noqa: PTH120
        return bool(os.stat(folder).st_mode & 0o2000)  # noqa: PTH116

    def write(self, path: str, data: bytes, offset: int, info: Any) -> int:
        self._disturb("write")
        written = os.pwrite(info.fh, data, offset)
        self._attributes.pop(path, None)
        return written

    def truncate(self, path: str, length: int, info: Any = None) -> int:
        self._disturb("truncate")
        os.truncate(self._real(path) if info is None else info.fh, length)
        self._attributes.pop(path, None)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        with self._change("mkdir", path):
            os.mkdir(self._real(path), mode)  # noqa: PTH102
            self._own(path)
        return 0

    def symlink(self, target: str, source: str) -> int:
        with self._change("symlink", target):
            os.symlink(source, self._real(target))  # noqa: PTH211
        return 0

    def link(self, target: str, source: str) -> int:
        with self._change("link", target, source):
            os.link(self._real(source), self._real(target))
        return 0

    def rename(self, old: str, new: str) -> int:
        with self._change("rename", old, new):
            os.rename(self._real(old), self._real(new))  # noqa: PTH104
        for known in (self._attributes, self._lists):
            for name in [name for name in known if name.startswith((old + "/", new + "/"))]:
                del known[name]
        self._lists.pop(old, None)
        self._lists.pop(new, None)
        return 0

    def unlink(self, path: str) -> int:
        with self._change("unlink", path):
            os.unlink(self._real(path))  # noqa: PTH108
        return 0

    def rmdir(self, path: str) -> int:
        with self._change("rmdir", path):
            os.rmdir(self._real(path))  # noqa: PTH106
        self._lists.pop(path, None)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """Set the times of a file; without any, the server takes its own clock."""
        self._disturb("utimens")
        if times is None or _UTIME_NOW in times:
            os.utime(self._real(path))
        else:
            os.utime(self._real(path), ns=times)
        self._attributes.pop(path, None)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._real(path), mode)  # noqa: PTH101
        self._attributes.pop(path, None)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.lchown(self._real(path), uid, gid)
        self._attributes.pop(path, None)
        return 0

    def fsync(self, path: str, datasync: int, info: Any) -> int:
        # Data is safe enough for a test; the call may fail as it does elsewhere.
        self._disturb("fsync")
        return 0

    def fsyncdir(self, path: str, datasync: int, info: Any) -> int:
        self._disturb("fsync")
        return 0

    def flush(self, path: str, info: Any) -> int:
        return 0

    def release(self, path: str, info: Any) -> int:
        os.close(info.fh)
        return 0


def serve(server: Path, target: Path, weather_file: Path, keep_s: float, seed: int) -> None:
    """Mount ``server`` at ``target`` and answer until somebody kills this process."""
    mount = CachedMount(str(server), weather_file, keep_s, seed)
    mfusepy.FUSE(
        mount, str(target), foreground=True, nothreads=True, raw_fi=True, allow_other=True, default_permissions=True
    )
