"""A project of a user's own with a study of trivial jobs, and the command run in it, as from a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

SEEDFOLD = Path(sys.executable).with_name("seedfold")
TRIVIAL = '''
def run(work):
    """Write one small file."""
    (work.staging / "answer.txt").write_text(str(work.config["seed"]))
'''
_PEAK_KILOBYTES = """
import resource, subprocess, sys

subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def write_study(project: Path, name: str, content: Mapping[str, object]) -> None:
    """Write the file of a study, and ``trivial.py``, whose ``run`` may be its jobs."""
    experiments = project / "conf" / "experiment"
    experiments.mkdir(parents=True)
    (project / "trivial.py").write_text(TRIVIAL)
    (experiments / f"{name}.yaml").write_text("# @package _global_\n" + yaml.safe_dump({"study": name, **content}))


def seedfold(project: Path, *arguments: str) -> None:
    """Run the command in a fresh process, without settings of whoever runs it; its results are below ``runs``."""
    environment = {**os.environ, "SEEDFOLD_ROOT": str(project / "runs"), "HOME": str(project)}
    subprocess.run([SEEDFOLD, *arguments], cwd=project, env=environment, check=True, stdout=subprocess.DEVNULL)


def launch(project: Path, name: str, *overrides: str) -> None:
    """Launch a study and wait for its end."""
    seedfold(project, "launch", "--wait", "--config-dir", "conf", f"experiment={name}", *overrides)


def peak_bytes(project: Path, *arguments: str) -> int:
    """Run the command as `seedfold` does, and return how much memory it had at the most.

    A small process starts it: for the kernel, a process has had the memory of the one that it was forked from.
    """
    environment = {**os.environ, "SEEDFOLD_ROOT": str(project / "runs"), "HOME": str(project)}
    command = [sys.executable, "-IS", "-c", _PEAK_KILOBYTES, str(SEEDFOLD), *arguments]
    return int(subprocess.run(command, cwd=project, env=environment, stdout=subprocess.PIPE, check=True).stdout) * 1024
