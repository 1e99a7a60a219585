"""What scripts call sbatch and bsub with, as bash reads them."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

STUB = """#!/bin/bash
printf '%s\\0' "$#" "$@" >> "$RECORD"
[ "${0##*/}" != sbatch ] || echo "4$RANDOM;cluster"
[ "${0##*/}" != bsub ] || { cat > /dev/null; echo "<<Waiting>>"; echo "Job <77> is submitted to queue <normal>."; }
"""


def calls(file: Path) -> list[list[str]]:
    """The arguments of each call of a stub, from what they noted."""
    words = iter(file.read_bytes().decode(errors="surrogateescape").split("\0")[:-1] if file.exists() else [])
    return [list(itertools.islice(words, int(count))) for count in words]


def in_bash(folder: Path, *command: str, **environment: str) -> list[list[str]]:
    """Run a script with stubs in place of all programs that it calls; return their arguments."""
    stubs = folder / ".stubs"
    stubs.mkdir(exist_ok=True)
    for name in ("seedfold", "sbatch", "bsub"):
        (stubs / name).write_text(STUB)
        (stubs / name).chmod(0o755)
    note = stubs / "record"
    note.unlink(missing_ok=True)
    path = os.pathsep.join([str(stubs), os.environ["PATH"]])
    subprocess.run(
        ["bash", *command],
        cwd=folder,
        env={"PATH": path, "RECORD": str(note), "LC_ALL": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=30,
        check=False,
    )
    return calls(note)
