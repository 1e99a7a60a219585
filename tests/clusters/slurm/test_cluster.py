"""The cluster of the tests does what SLURM does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import submitit
from clusters.slurm.cluster import Cluster
from clusters.slurm.configuration import FEW
from clusters.slurm.processes import ClusterError, start_time
from toyproject import wait_until

pytestmark = pytest.mark.slurm


def echo(name: str, folder: Path, text: str, *options: str) -> list[str | Path]:
    """sbatch's arguments for a job that writes ``text``, as the shell expands it, to files ``out-…`` in ``folder``."""
    folder.mkdir(exist_ok=True)
    return [f"--job-name={name}", f"--output={folder}/out-%a", *options, f"--wrap=echo {text}"]


def sleep(name: str, *options: str, seconds: int = 120) -> list[str | Path]:
    return [f"--job-name={name}", "--output=/dev/null", *options, f"--wrap=exec sleep {seconds}"]


def output(folder: Path) -> list[str]:
    return sorted(file.read_text().strip() for file in folder.glob("out-*"))


def test_job_runs(slurm: Cluster, slurm_name: str, tmp_path: Path) -> None:
    job = slurm.submit(*echo(slurm_name, tmp_path, "$SLURM_JOB_ID $SLURM_JOB_PARTITION"))
    assert slurm.wait_for(job) == {job: "COMPLETED"}
    assert output(tmp_path) == [f"{job} debug"]


def test_array_runs(slurm: Cluster, slurm_name: str, tmp_path: Path) -> None:
    job = slurm.submit(*echo(slurm_name, tmp_path, "task $SLURM_ARRAY_TASK_ID", "--array=0-3"))
    assert slurm.wait_for(job) == {f"{job}_{task}": "COMPLETED" for task in range(4)}
    assert output(tmp_path) == [f"task {task}" for task in range(4)]


def test_accounting_knows_the_end(slurm: Cluster, slurm_name: str) -> None:
    job = slurm.submit(f"--job-name={slurm_name}", "--output=/dev/null", "--wrap=exit 7")
    slurm.wait_for(job)
    assert accounted(slurm, job, f"FAILED|7:0|research|{slurm_name}")


def accounted(slurm: Cluster, job: str, line: str) -> bool:
    """Whether sacct says this of a job in a while. It lags by seconds, and its first word on a name may be wrong."""
    fields = "--format=State,ExitCode,Account,JobName"
    ask = ("sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={job}", fields)
    for _ in range(100):
        if slurm.run(*ask).strip() == line:
            return True
        time.sleep(0.1)
    return False


def test_gpus_are_counted_and_told(slurm: Cluster, slurm_name: str, tmp_path: Path) -> None:
    text = "${CUDA_VISIBLE_DEVICES-none}"
    one = slurm.submit(*echo(slurm_name, tmp_path / "one", text, "--gres=gpu:1"))
    all_four = slurm.submit(*echo(slurm_name, tmp_path / "all", text, "--gres=gpu:4"))
    none = slurm.submit(*echo(slurm_name, tmp_path / "none", text))
    for job in (one, all_four, none):
        slurm.wait_for(job)
    assert output(tmp_path / "one")[0] in {"0", "1", "2", "3"}
    assert output(tmp_path / "all") == ["0,1,2,3"]
    assert output(tmp_path / "none") == ["none"]


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--partition=nowhere", "invalid partition"),
        ("--account=nobody", "Invalid account"),
        ("--qos=best", "Invalid qos"),
        ("--time=8-00:00:00", "Requested time limit is invalid"),
        ("--array=0-1001", "Invalid job array"),
        ("--gres=gpu:5", "Requested node configuration is not available"),
        ("--cpus-per-task=5", "can not be satisfied"),
    ],
)
def test_what_is_not_there_is_refused(slurm: Cluster, slurm_name: str, option: str, why: str) -> None:
    with pytest.raises(ClusterError, match=why):
        slurm.submit(*sleep(slurm_name, option))


@pytest.mark.slow
def test_qos_limits_submitted_jobs(slurm_alone: Cluster) -> None:
    slurm_alone.submit(*sleep("few", "--qos=few", "--begin=now+1hour", f"--array=0-{FEW - 2}"))
    last = slurm_alone.submit(*sleep("few", "--qos=few", "--begin=now+1hour"))
    with pytest.raises(ClusterError, match="job submit limit"):
        slurm_alone.submit(*sleep("few", "--qos=few"))
    slurm_alone.cancel("few")
    slurm_alone.wait_for(last)


def test_submitit_runs_a_function(on_slurm: Cluster, slurm_name: str, tmp_path: Path) -> None:
    executor = submitit.AutoExecutor(tmp_path, cluster="slurm")
    executor.update_parameters(name=slurm_name, timeout_min=2, slurm_partition="gpu", gpus_per_node=1)
    job = executor.submit(sorted, [3, 1, 2])
    assert job.result() == [1, 2, 3]


@pytest.mark.slow
def test_killed_daemons_lose_no_queued_job(slurm_alone: Cluster) -> None:
    queued = slurm_alone.submit(*sleep("queued", "--begin=now+1hour"))
    running = slurm_alone.submit(*sleep("running"))
    slurm_alone.wait_for(running, {"RUNNING"})
    slurm_alone.wait_until_saved(running)
    for name in ("slurmctld", "slurmdbd", "slurmd-n1"):
        slurm_alone.restart(name)
    assert slurm_alone.job_states(f"{queued},{running}") == {queued: "PENDING", running: "RUNNING"}
    slurm_alone.cancel("queued", "running")


@pytest.mark.slow
def test_jobs_run_without_accounting(slurm_alone: Cluster) -> None:
    with slurm_alone.without("slurmdbd"):
        job = slurm_alone.submit(*sleep("unaccounted", seconds=0))
        slurm_alone.wait_for(job)
        assert slurm_alone.ask("sacct").returncode != 0
    assert accounted(slurm_alone, job, "COMPLETED|0:0|research|unaccounted")


@pytest.mark.slow
def test_failed_node_requeues_its_jobs(slurm_alone: Cluster, tmp_path: Path) -> None:
    kept = slurm_alone.submit(*sleep("kept", "--nodelist=n2", "--requeue"))
    options = (f"--output={tmp_path}/pid", "--nodelist=n2", "--no-requeue")
    lost = slurm_alone.submit(*options, "--wrap=echo $$; exec sleep 120")
    for job in (kept, lost):
        slurm_alone.wait_for(job, {"RUNNING"})
    slurm_alone.run("sh", "-c", f"until [ -s {tmp_path}/pid ]; do sleep 0.1; done")
    slurm_alone.node_down("n2")
    slurm_alone.wait_for(kept, {"PENDING"})
    assert slurm_alone.wait_for(lost) == {lost: "NODE_FAIL"}
    # SLURM may have added why the job ended.
    pid = (tmp_path / "pid").read_text().split()[0]
    assert start_time(int(pid)) is None
    slurm_alone.node_up("n2")
    assert slurm_alone.node_states()["n2"] == "idle"
    slurm_alone.cancel("kept")


@pytest.mark.slow
def test_high_preempts_low(slurm_alone: Cluster, tmp_path: Path) -> None:
    body = f"trap 'echo warned >> {tmp_path}/out-low' USR2; echo started >> {tmp_path}/out-low; sleep 120 & wait; wait"
    options = (
        "--partition=low",
        "--exclusive",
        "--nodelist=n1",
        "--requeue",
        "--signal=B:USR2@60",
        "--open-mode=append",
    )
    low = slurm_alone.submit("--job-name=preempted", "--output=/dev/null", *options, f"--wrap={body}")
    slurm_alone.wait_for(low, {"RUNNING"})
    high = slurm_alone.submit(*sleep("preempts", "--partition=high", "--exclusive", "--nodelist=n1", seconds=1))
    assert slurm_alone.wait_for(high, seconds=120) == {high: "COMPLETED"}
    slurm_alone.wait_for(low, {"RUNNING"})
    assert "Restarts=1" in slurm_alone.run("scontrol", "show", "job", low)
    wait_until(lambda: output(tmp_path) == ["started\nwarned\nstarted"])
    slurm_alone.cancel("preempted")


def test_command_says_what_runs(slurm: Cluster) -> None:
    told = slurm.run(sys.executable, Path(__file__).with_name("cluster.py"), "status", "--folder", slurm.folder)
    assert all(f"{name} runs as" in told for name in ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd-n1"))
