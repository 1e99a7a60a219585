"""Debian's package of FUSE, for mounts that see a folder as a network file system does."""

from __future__ import annotations

import ctypes.util
import sys
from pathlib import Path

if not __package__:  # run as a program
    sys.path.insert(0, str(Path(__file__).parents[1]))

from clusters.ssh.packages import install_package


def install() -> None:
    """Install what is missing, as root on Debian; elsewhere say what to do."""
    if not ctypes.util.find_library("fuse3"):
        install_package("fuse3")


if __name__ == "__main__":
    install()
