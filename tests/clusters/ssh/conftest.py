"""A laptop, and a machine that it reaches over ssh, with a home and a root of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from clusters.slurm.cluster import Cluster
from clusters.ssh.packages import find_sshd
from clusters.ssh.server import Server, running_server
from command_server import forked_command
from toyproject import Toy, make_toy, printed_by

from seedfold.orchestrator.ledger.layout import StudyFolder


@dataclass(frozen=True)
class Laptop:
    """The project here, and the ``server`` that its commands run on."""

    toy: Toy
    server: Server

    @property
    def remote(self) -> Toy:
        """The project as it is seen there: results under the root at home, data beside it."""
        return replace(self.toy, folder=self.server.home, root=self.server.home / "runs")

    def study(self, name: str = "light") -> StudyFolder:
        """A study's folder there."""
        return self.remote.study(name)

    def write_site_file(self, text: str) -> None:
        """Write the site file of the laptop."""
        file = self.toy.folder / "home" / ".config" / "seedfold" / "site.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def arguments(self, *args: str, experiment: str = "light") -> list[str]:
        """What `plan` and `launch` are called with."""
        return ["--config-dir", "conf", f"experiment={experiment}", f"paths.data={self.remote.data}", *args]

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a command here, in a process of its own: what ssh prints is the process's."""
        return self.toy.run(*args, program=forked_command())

    def output_of(self, *args: str) -> str:
        """Run a command, which has to succeed; return what it printed."""
        return printed_by(self.run(*args))

    def launch(self, *args: str, experiment: str = "light") -> str:
        """Launch there; it has to succeed."""
        return self.output_of("launch", *self.arguments(*args, experiment=experiment))

    def states(self, study: str = "light") -> dict[str, int]:
        """The study's counts by state, without those that are zero."""
        counts: dict[str, int] = json.loads(self.output_of("status", study, "--json"))["states"]
        return {state: count for state, count in counts.items() if count}


def running_laptop(folder: Path, **environment: str) -> Iterator[Laptop]:
    """A laptop whose site file names the server."""
    if find_sshd() is None:
        pytest.skip("sshd is not installed: python tests/clusters/ssh/packages.py installs it")
    for name in ("laptop", "server"):
        (folder / name).mkdir()
    toy = make_toy(folder / "laptop" / "project")
    with running_server(folder / "server", **environment) as server:
        (server.home / "data").mkdir()
        path = f"{server.bin}:{toy.environment['PATH']}"
        # The root is found as on any machine; the tests' own would be the laptop's.
        variables = {"PATH": path, "SEEDFOLD_ROOT": "", "LC_ALL": "C.UTF-8"}
        laptop = Laptop(replace(toy, environment={**toy.environment, **variables}), server)
        laptop.write_site_file("cluster: {login: cluster}\n")
        yield laptop
        laptop.remote.kill_workers()


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    """A laptop and a machine without a scheduler."""
    yield from running_laptop(tmp_path)


@pytest.fixture
def laptop_of_slurm(slurm: Cluster, tmp_path: Path) -> Iterator[Laptop]:
    """A laptop, and a login node of the cluster that is up."""
    yield from running_laptop(tmp_path, SLURM_CONF=str(slurm.conf))
