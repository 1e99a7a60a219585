"""Seedfold installed as other people install it, from a clean copy of the repository."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def make_environment(tmp_path: Path, requirement: list[str]) -> Path:
    """A virtual environment with Seedfold installed from ``requirement``; its dependencies are those of this one."""
    env = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    purelib = next((env / "lib").glob("python*")) / "site-packages"
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(env / "bin" / "python"), "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--ignore-installed", "--no-build-isolation"]
    subprocess.run([*pip, "install", *options, *requirement], check=True)
    return env / "bin"


def copy_repository(folder: Path) -> Path:
    """The repository as git has it: building leaves nothing in the working tree."""
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=REPOSITORY, capture_output=True, check=True
    )
    names = [name for name in files.stdout.decode().split("\0") if name and (REPOSITORY / name).exists()]
    archive = subprocess.run(["tar", "-c", *names], cwd=REPOSITORY, capture_output=True, check=True)
    folder.mkdir()
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder
