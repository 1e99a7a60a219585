"""Debian's packages of SLURM and of what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess

from clusters.slurm.processes import ClusterError

# One program of each package tells whether it is there, by whatever way it came.
PACKAGES = {
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "sbatch": "slurm-wlm",
    "slurmdbd": "slurmdbd",
    "munged": "munge",
    "mariadbd": "mariadb-server-core",
}
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def missing_packages() -> list[str]:
    """The packages whose programs are not on the path."""
    return sorted({package for program, package in PACKAGES.items() if not shutil.which(program, path=PATH)})


def install() -> None:
    """Install what is missing. Raises `ClusterError`, with the command to run, for who is not root."""
    missing = missing_packages()
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(f"not installed: {', '.join(missing)}; as root: apt-get install {' '.join(missing)}")
    print(f"installing {' '.join(missing)}", flush=True)
    # RUNLEVEL=1 keeps the packages from starting daemons of their own.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    wait = ["-o", "DPkg::Lock::Timeout=300", "-qq"]
    for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        ended = subprocess.run(["apt-get", *wait, *command], env=quiet, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise ClusterError(f"apt-get {' '.join(command)}: {ended.stderr.strip() or ended.stdout.strip()}")
