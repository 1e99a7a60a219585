"""LSF for a program that uses submitit and nothing of Seedfold, where Seedfold is installed from a wheel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from clusters.lsf.cluster import Lsf
from installing import copy_repository, make_environment

PROGRAM = """
import json
import time
from pathlib import Path

import submitit
from submitit.core import plugins


def add(a, b):
    return a + b


def fail():
    raise ValueError("as told")


class Count:
    def __call__(self, number, done=0):
        Path("begun").write_text(str(done))
        while done < number:
            self.done = done = done + 1
            while done == 5 and not Path("go").exists():
                Path("five").touch()
                time.sleep(0.05)
        return f"{done} of {number}"

    def checkpoint(self, number, done=0):
        return submitit.helpers.DelayedSubmission(self, number, self.done)


ours = plugins.get_executors()["lsf"]._valid_parameters()
theirs = [executor for name, executor in plugins.get_executors().items() if name != "lsf"]
assert not any(ours & executor._valid_parameters() for executor in theirs)

executor = submitit.AutoExecutor(folder="logs", cluster="lsf")
executor.update_parameters(timeout_min=5, mem_gb=1, cpus_per_task=1, lsf_queue="short", lsf_before=["export A=1"])
one = executor.submit(add, 2, 3)
failed = executor.submit(fail)
array = executor.map_array(add, range(20), range(20))
counting = executor.submit(Count(), 40)
while not Path("five").exists():
    time.sleep(0.1)
counting._interrupt()
while Path("begun").read_text() in {"", "0"}:
    time.sleep(0.1)
Path("go").touch()
killed = executor.submit(time.sleep, 600)
while killed.state != "RUN":
    time.sleep(0.5)
assert not killed.done(force_check=True)
killed.cancel()
print(json.dumps({
    "one": one.result(),
    "failed": str(failed.exception()),
    "array": [job.result() for job in array],
    "ids": len({job.job_id.partition("_")[0] for job in array}),
    "counting": counting.result(),
    "begun": int(Path("begun").read_text()),
    "killed": type(killed.exception()).__name__,
}))
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python with Seedfold from a wheel."""
    folder = tmp_path / "installed"
    folder.mkdir()
    return make_environment(folder, [str(copy_repository(folder / "source"))]) / "python"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("lsf_dialect", ["classic"], indirect=True)
def test_a_function_an_array_and_a_job_with_checkpoints(python: Path, lsf: Lsf, tmp_path: Path) -> None:
    lsf.oddities(noise=True, random_order=True)
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = subprocess.run(
        [python, "program.py"], cwd=tmp_path, env=lsf.environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["one"] == 5
    assert found["array"] == list(range(0, 40, 2))
    assert found["ids"] == 1
    assert "ValueError: as told" in found["failed"]
    assert found["counting"] == "40 of 40"
    assert found["begun"] > 0
    assert found["killed"] == "UncompletedJobError"
