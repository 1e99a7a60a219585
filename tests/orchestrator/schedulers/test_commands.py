"""A scheduler that is dead costs one time limit, whichever command asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from toyproject import Toy

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers import commands
from seedfold.orchestrator.settings.scheduler import SchedulerSettings


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["slurm", "lsf"])
@pytest.mark.parametrize("command", ["launch", "doctor"])
def test_nobody_waits_twice(toy: Toy, monkeypatch: pytest.MonkeyPatch, cluster: str, command: str) -> None:
    waited: list[float] = []

    def hang(command: Sequence[str], timeout_s: float, environment: Mapping[str, str], stdin: str = "") -> None:
        waited.append(timeout_s)
        raise UnreachableError(f"{command[0]} did not reply within {timeout_s:g} s; the jobs are not affected")

    monkeypatch.setattr(commands, "run", hang)
    for name in ("bjobs", "bqueues", "bparams", "bhosts", "lshosts", "sbatch"):
        (toy.folder / name).write_text("#!/bin/sh\n")
        (toy.folder / name).chmod(0o755)
    path = f"{toy.folder}:{toy.environment['PATH']}"
    if command == "launch":
        arguments = ["launch", "--config-dir", "conf", "experiment=light", f"cluster={cluster}"]
    else:
        arguments = ["doctor", "--set", f"cluster={cluster}"]
    ended = toy.run_in_process(*arguments, PATH=path)
    assert ended.returncode in {1, 3}
    assert "did not reply" in ended.stdout + ended.stderr
    assert sum(waited) == SchedulerSettings().query_timeout_s == 10
