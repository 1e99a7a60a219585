"""What fails on a cluster is told with its reason, and everything else goes on."""

from __future__ import annotations

from typing import Any

import pytest
from clusters.conftest import JOBS, SlurmProject, put_fake_in_front

pytestmark = pytest.mark.slurm

KILLER = '''
"""A job that kills the worker of its task, the first time that it runs."""

import os
import signal
import time
from pathlib import Path

from toy.light import note


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_told(work):
    # The folder of events comes with the first event.
    study = next(folder for folder in work.staging.parents if (folder / "plans").is_dir())
    told = (line for file in (study / "events").glob("*.jsonl") for line in file.read_text().splitlines())
    return any('"e":"started"' in line and work.description.id in line for line in told)


def run(work):
    note(Path(work.config["paths"]["data"]) / "executions.txt", work.description.id)
    if work.config["seed"] == 0 and work.attempt == 1:
        while not is_told(work):
            time.sleep(0.01)
        os.kill(parent_of(os.getppid()), signal.SIGKILL)
        time.sleep(600)
'''


def failures(project: SlurmProject, study: str = "light") -> list[dict[str, Any]]:
    """The failed attempts of all jobs."""
    ledger = project.ledger(study)
    return [failure for job in ledger.plans.jobs for failure in ledger.record_of(job).failures()]


@pytest.mark.slow
def test_children_of_failed_jobs_are_blocked_and_leave_the_queue(project: SlurmProject) -> None:
    project.launch("fail_seeds=[1]", experiment="chain")
    project.wait("chain", done=3, failed=2, blocked=1)
    project.wait_until_empty()
    assert project.has_nothing_to_do("chain")
    assert project.states("chain") == {"done": 3, "failed": 2, "blocked": 1}
    assert project.ran_each_once(4)


@pytest.mark.slow
def test_killed_job_has_failed_and_its_neighbours_go_on(project: SlurmProject) -> None:
    project.launch("die_seeds=[1]", "cluster.jobs_per_task=3", "cluster.slots=1")
    project.wait(done=3, failed=3)
    assert {failure["reason"].partition(";")[0] for failure in failures(project)} == {
        "the program killed its own process (SIGKILL)"
    }
    assert project.ran_each_once()


@pytest.mark.slow
def test_job_whose_worker_is_killed_runs_on_another_node_and_the_rest_of_its_task_goes_on(
    project: SlurmProject,
) -> None:
    (project.toy.folder / "toy" / "killer.py").write_text(KILLER)
    project.launch("run=toy.killer.run", "seed=0,1", "fold=0", "cluster.jobs_per_task=2")
    project.wait(done=2)
    [failure] = failures(project)
    assert failure["kind"] == "node"
    assert failure["reason"] == "the worker of its task was killed by signal 9"
    assert [one.array.exclude for one in project.submissions()[1:] if one.array] in (
        [(), (failure["node"],)],
        [(failure["node"],), ()],
    )
    project.wait_until_empty()
    assert project.has_nothing_to_do()
    assert sorted(project.toy.executions().values()) == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    [
        "cluster.setup=['echo no such module >&2', 'exit 7']",
        "cluster.python=/nowhere",
    ],
)
def test_task_that_cannot_begin_fails_its_jobs_once(project: SlurmProject, override: str) -> None:
    project.launch(override)
    project.wait_with_status(failed=JOBS)
    project.wait_until_empty()
    assert project.has_nothing_to_do()
    assert len(project.submissions()) == 1
    code = 7 if "setup" in override else 127
    said = f"the worker of its task exited with code {code} before the job began"
    reasons = {failure["reason"] for failure in failures(project)}
    assert all(reason.startswith(said) for reason in reasons), reasons
    assert f"{project.first_array_id()}_0.log" in project.toy.output_of("status", "light")
    assert project.toy.executions() == {}


@pytest.mark.parametrize(
    "body", ["exit 1", pytest.param("sleep 600", marks=pytest.mark.slow), 'echo "sacct: error: refused" >&2; exit 1']
)
def test_works_where_nothing_keeps_account(project: SlurmProject, body: str) -> None:
    toy = put_fake_in_front(project.toy, "sacct", body)
    unaccounted = SlurmProject(toy, project.slurm)
    unaccounted.launch("cluster.setup=['exit 7']", "seed=0", f"cluster.query_timeout_s={5 if 'sleep' in body else 60}")
    unaccounted.wait_with_status(failed=3)
    assert {failure["reason"] for failure in failures(project)} == {"its task failed before the job began"}
    assert unaccounted.has_nothing_to_do()
