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
    if find_sshd():
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print("sshd is not installed, and cannot be by this user: tests that need it are skipped (openssh-server)")
        return
    print("installing openssh-server", flush=True)
    # RUNLEVEL=1 keeps the package from starting a daemon of its own.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    wait = ["-o", "DPkg::Lock::Timeout=300", "-qq"]
    for command in (["update"], ["install", "-y", "--no-install-recommends", "openssh-server"]):
        ended = subprocess.run(["apt-get", *wait, *command], env=quiet, check=False, stdout=subprocess.DEVNULL)
        if ended.returncode:
            print("openssh-server could not be installed: tests that need it are skipped")
            return


if __name__ == "__main__":
    install()
