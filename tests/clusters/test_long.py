"""What takes a while: limits, memory, time, preemption, and daemons and nodes that die during a sweep."""

from __future__ import annotations

import pytest
from clusters.conftest import JOBS, SlurmProject, begun
from clusters.slurm.cluster import Cluster
from clusters.slurm.configuration import FEW
from toyproject import CHAIN_STUDY, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

GREEDY = '''
"""Light jobs, two of which use more memory than they ask for at first."""

import time

from toy.light import run as run_light


def run(work):
    if work.config["seed"] in (3, 25):
        hoard = bytearray(1500 * 1024**2)
        for place in range(0, len(hoard), 4096):
            hoard[place] = 1
        time.sleep(5)
    run_light(work)
'''

GREEDY_STUDY = (
    CHAIN_STUDY.replace("study: chain", "study: greedy")
    .replace("run: toy.light.run", "run: toy.greedy.run")
    .replace("memory: 1GB", "memory: 400MB")
    .replace("{seed: [0, 1], fold: [0, 1]}", "{seed: 'range(0,28)'}")
    .replace("matrix: {seed: [0, 1]}", "matrix: {fold: [0]}")
)


def executions(project: SlurmProject) -> list[int]:
    return sorted(project.toy.executions().values())


@pytest.mark.timeout(1800)
def test_many_jobs_pass_a_limit_of_few_with_nobody_there(few: str, project: SlurmProject) -> None:
    (project.toy.folder / "toy" / "greedy.py").write_text(GREEDY)
    project.toy.write_experiment("greedy", GREEDY_STUDY)
    # SLURM sees the memory of its own processes, and not of forks of others.
    project.launch(f"cluster.qos={few}", f"cluster.max_submitted={FEW}", "cluster.python=null", experiment="greedy")
    project.wait("greedy", seconds=800, done=29)
    assert executions(project) == [1] * 28
    ledger = project.ledger("greedy")
    failures = [failure for job in ledger.plans.jobs for failure in ledger.record_of(job).failures()]
    assert [failure["kind"] for failure in failures] == ["oom_host", "oom_host"]
    [summary] = project.toy.study("greedy").path.glob("store/*/*/summary.txt")
    assert summary.read_text() == "28 files of 28 parents"
    project.wait_until_empty()
    assert project.has_nothing_to_do("greedy")


@pytest.mark.timeout(1800)
def test_job_that_needs_more_than_its_limit_gets_done(project: SlurmProject) -> None:
    """SLURM looks every 30 seconds whether it is to warn, and warns up to 30 seconds early: after 60 to 90 of 120."""
    limits = ("resources.time=1min", "cluster.margin_s=60", "cluster.warning_s=30")
    project.launch("sleep_s=95", "seed=1", "fold=0", *limits)
    project.wait(seconds=900, done=1)
    [answer] = project.toy.study("light").path.glob("store/*/*/answer.txt")
    assert answer.read_text() == "2.0"
    [often] = executions(project)
    assert often > 1
    assert len(project.submissions()) == 1
    assert project.has_nothing_to_do()


def test_preempted_jobs_go_on(project_alone: SlurmProject, slurm_alone: Cluster) -> None:
    project_alone.toy.hold_jobs()
    project_alone.launch("cluster.partition=low", "seed=1", "fold=0,1")
    begun(project_alone, 2)
    for node in slurm_alone.node_states():
        options = ("--partition=high", "--exclusive", f"--nodelist={node}", "--output=/dev/null")
        slurm_alone.submit("--job-name=urgent", *options, "--wrap=sleep 3")
    wait_until(lambda: executions(project_alone) == [2, 2])
    project_alone.toy.release_jobs()
    project_alone.wait(done=2)
    assert executions(project_alone) == [2, 2]
    assert len(project_alone.submissions()) == 1
    assert project_alone.has_nothing_to_do()


@pytest.mark.parametrize("daemon", ["slurmctld", "slurmd-n1", "slurmdbd"])
def test_daemon_killed_during_a_sweep(project_alone: SlurmProject, slurm_alone: Cluster, daemon: str) -> None:
    project_alone.toy.hold_jobs()
    project_alone.launch("cluster.settle_s=5")
    begun(project_alone, 4)
    slurm_alone.wait_until_saved(project_alone.first_array_id())
    slurm_alone.kill(daemon)
    asked = project_alone.toy.run_in_process("status", "light")
    assert asked.returncode in {0, 3}, asked.stderr
    slurm_alone.start(daemon)
    project_alone.toy.release_jobs()
    project_alone.wait(done=JOBS)
    assert executions(project_alone) == [1] * JOBS
    project_alone.wait_until_empty()
    assert project_alone.has_nothing_to_do()


def test_scheduler_that_has_forgotten_the_study(project_alone: SlurmProject, slurm_alone: Cluster) -> None:
    """Killed within seconds of the launch, it knows nothing of it afterwards."""
    earlier = slurm_alone.submit("--job-name=earlier", "--begin=now+1hour", "--output=/dev/null", "--wrap=true")
    slurm_alone.wait_until_saved(earlier)
    with slurm_alone.forgetting():
        project_alone.launch("sleep_s=3", "cluster.settle_s=5")
    slurm_alone.cancel("earlier")
    assert project_alone.job_states() == {}
    project_alone.wait_with_status(done=JOBS, seconds=240)
    assert set(project_alone.toy.executions().values()) <= {1, 2}
    project_alone.wait_until_empty()
    assert project_alone.has_nothing_to_do()


def test_jobs_of_a_node_that_goes_down_go_on_elsewhere(project_alone: SlurmProject, slurm_alone: Cluster) -> None:
    project_alone.toy.hold_jobs()
    project_alone.launch("seed=1", "cluster.throttle=3")
    begun(project_alone, 3)
    slurm_alone.node_down("n2")
    project_alone.toy.release_jobs()
    try:
        project_alone.wait(done=3)
    finally:
        slurm_alone.node_up("n2")
    assert set(executions(project_alone)) == {1, 2}
    project_alone.wait_until_empty()
    assert project_alone.has_nothing_to_do()


def test_works_without_accounting(project_alone: SlurmProject, slurm_alone: Cluster) -> None:
    with slurm_alone.without("slurmdbd"):
        project_alone.launch("fail_seeds=[1]")
        project_alone.wait(done=3, failed=3)
        project_alone.wait_until_empty()
        assert project_alone.has_nothing_to_do()
    assert executions(project_alone) == [1] * JOBS
