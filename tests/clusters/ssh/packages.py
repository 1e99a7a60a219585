"""Debian's package of sshd."""

from __future__ import annotations

import os
import shutil
import subprocess

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def find_sshd() -> str | None:
    """The program; None if it is not installed. It has to be called by its full path."""
    return shutil.which("sshd", path=PATH)


def install() -> None:
    """Install what is missing, as root on Debian; elsewhere say what to do."""
    if not find_sshd():
        install_package("openssh-server")


def install_package(name: str) -> None:
    """Install a package of Debian, or say that tests which need it are skipped."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"{name} is not installed, and cannot be by this user: tests that need it are skipped")
        return
    print(f"installing {name}", flush=True)
    # RUNLEVEL=1 keeps the package from starting a daemon of its own.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    wait = ["-o", "DPkg::Lock::Timeout=300", "-qq"]
    for command in (["update"], ["install", "-y", "--no-install-recommends", name]):
        ended = subprocess.run(["apt-get", *wait, *command], env=quiet, check=False, stdout=subprocess.DEVNULL)
        if ended.returncode:
            print(f"{name} could not be installed: tests that need it are skipped")
            return


if __name__ == "__main__":
    install()
