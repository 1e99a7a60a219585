"""Debian's package of Chromium, the browser in which the tests look at the page of `seedfold serve`."""

from __future__ import annotations

import shutil

from clusters.ssh.packages import install_package


def find_chromium() -> str | None:
    """The program; None if it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def install() -> None:
    """Install what is missing, as root on Debian; elsewhere say what to do."""
    if not find_chromium():
        install_package("chromium")


if __name__ == "__main__":
    install()
