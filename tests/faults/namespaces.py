"""Mount and UTS namespaces: other hosts on this machine, each with its own name, boot id, machine id and mounts."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUTS = 0x00020000, 0x04000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MACHINE_ID = "/etc/machine-id"


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, flags: int) -> None:
    _check(_libc().mount(source.encode(), target.encode(), None, flags, None), f"mount {source} at {target}")


def bind(source: Path, target: Path | str) -> None:
    """Have ``target`` be what ``source`` is, in the namespace of this process."""
    _mount(str(source), str(target), _MS_BIND)


def leave_namespaces() -> None:
    """Give this process namespaces of its own. Raises OSError where the user may not do this."""
    _check(_libc().unshare(_CLONE_NEWNS | _CLONE_NEWUTS), "unshare")
    _mount("none", "/", _MS_REC | _MS_PRIVATE)


def let_everybody_run_python(folder: Path) -> None:
    """Have other users see the interpreter in the namespace of this process, also if it is in somebody's home.

    ``folder`` takes the place of the closed folder above the interpreter, and holds nothing but the way to it.
    """
    python = Path(sys.executable).resolve()
    closed = [above for above in reversed(python.parents) if not above.stat().st_mode & 0o001]
    if closed:
        inside = python.relative_to(closed[0]).parts[0]
        (folder / inside).mkdir(parents=True, exist_ok=True)
        bind(closed[0] / inside, folder / inside)
        _mount(str(folder), str(closed[0]), _MS_BIND | _MS_REC)


def become_host(name: str, folder: Path) -> None:
    """Give the host of this process's namespaces this name, and the ids that are kept in ``folder``."""
    socket.sethostname(name)
    bind(folder / "boot_id", _BOOT_ID)
    if Path(_MACHINE_ID).exists():
        bind(folder / "machine-id", _MACHINE_ID)


@dataclass(frozen=True)
class Namespaces:
    """Open handles of the namespaces of another process; they stay when it ends."""

    mounts: int
    names: int

    @classmethod
    def of_process(cls, pid: int) -> Namespaces:
        """Those of a process that lives."""
        return cls(*(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("mnt", "uts")))

    def enter(self) -> None:
        """Go there with this process, which must have one thread only."""
        for handle in (self.names, self.mounts):
            _check(_libc().setns(handle, 0), "setns")

    def close(self) -> None:
        """Let go of them."""
        os.close(self.mounts)
        os.close(self.names)


def reason_against_hosts() -> str | None:
    """Why other hosts cannot be made here; None if they can."""
    if os.geteuid() != 0:
        return "other hosts need root"
    pid = os.fork()
    if pid == 0:
        try:
            leave_namespaces()
        except OSError:
            os._exit(1)
        os._exit(0)
    return "namespaces may not be made here" if os.waitpid(pid, 0)[1] else None


def reason_against_fuse() -> str | None:
    """Why a host cannot have a mount with a cache; None if it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        return f"mfusepy or libfuse is not installed ({error})"
    return None
