"""What a machine and its user happen to have changes no test: settings, colours, locale, GPUs, schedulers."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

_REMOVED_PREFIXES = (
    *("SEEDFOLD_", "HYDRA_", "SUBMITIT_", "MLFLOW_", "WANDB_"),
    *("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SINFO_", "LSF_", "LSB_", "LS_", "BSUB_"),
    *("LC_", "XDG_", "GIT_", "MPL"),
)
_REMOVED_NAMES = {
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONOPTIMIZE", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONSTARTUP"),
    *("PYTHONUNBUFFERED", "PYTHONUTF8", "PYTHONWARNINGS"),
    # Every process would compile all modules again.
    "PYTHONDONTWRITEBYTECODE",
    *("CUDA_VISIBLE_DEVICES", "LANGUAGE", "TZ"),
}
_KEPT_NAMES = {"SLURM_CONF"}
"""Which cluster the tests of clusters talk to."""
_SCHEDULER_PROGRAMS = {
    *("sbatch", "squeue", "sacct", "sinfo", "scontrol", "scancel", "srun"),
    *("bsub", "bjobs", "bkill", "bhist", "bhosts", "bqueues"),
}


def isolate_environment(folder: Path) -> None:
    """Give this process, and all that it starts, a home of its own in ``folder``, and defaults for everything else."""
    for name in [
        name
        for name in os.environ
        if (name.startswith(_REMOVED_PREFIXES) or name in _REMOVED_NAMES) and name not in _KEPT_NAMES
    ]:
        del os.environ[name]
    sys.dont_write_bytecode = False
    # Tests name their folders in lines for a shell, and have sockets there.
    if not re.fullmatch(r"[\w./-]{1,60}", tempfile.gettempdir()):
        os.environ["TMPDIR"], tempfile.tempdir = "/tmp", None
    os.umask(0o022)
    home, programs = folder / "home", folder / "bin"
    for made in (home, programs):
        made.mkdir()
    _write_program(programs / "nvidia-smi", "echo 'no GPU is for the tests' >&2; exit 9")
    path = os.environ.get("PATH", os.defpath)
    os.environ.update({"HOME": str(home), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "xterm"})
    # Tests run side by side: threads and processes of theirs would only wait for each other.
    single = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    os.environ.update(dict.fromkeys(single, "1"))
    os.environ["PATH"] = f"{programs}{os.pathsep}{path}"
    # What matplotlib finds out about fonts is found out once for all tests, whatever home they give to a command.
    os.environ["MPLCONFIGDIR"] = str(Path(tempfile.gettempdir()) / f"seedfold-tests-{os.getuid()}" / "matplotlib")


def take_for_installed() -> None:
    """Take Seedfold for an installed package in this process, also where it runs from its working tree.

    Launches copy no code of Seedfold then, which their workers would have to import.
    """
    from seedfold.orchestrator.code import digests

    folders = {*digests._installation_folders(), f"{Path(digests.__file__).parents[3]}/"}
    digests._installation_folders = cache(lambda: tuple(folders))


def _write_program(file: Path, line: str) -> None:
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o755)


def path_without_schedulers(folder: Path) -> str:
    """A PATH without the programs of SLURM and LSF: where they are, ``folder`` has links to everything beside them."""
    folders = []
    for number, path_entry in enumerate(os.environ["PATH"].split(os.pathsep)):
        if any(Path(path_entry, name).exists() for name in _SCHEDULER_PROGRAMS):
            links = folder / str(number)
            links.mkdir(parents=True)
            for program in Path(path_entry).iterdir():
                if program.name not in _SCHEDULER_PROGRAMS:
                    (links / program.name).symlink_to(program)
            path_entry = str(links)
        folders.append(path_entry)
    path = os.pathsep.join(folders)
    assert not any(shutil.which(name, path=path) for name in _SCHEDULER_PROGRAMS)
    return path
