"""Studies on a real SLURM: what is asked for gets done, once, and people can interfere."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from clusters.conftest import JOBS, SlurmProject, begun, put_fake_in_front
from clusters.slurm.processes import processes
from toyproject import CHAIN_STUDY, WAIT_S, read_files, wait_until

pytestmark = pytest.mark.slurm

THREE_STAGES = CHAIN_STUDY.replace("study: chain", "study: three") + (
    "  last:\n    run: toy.light.summary\n    matrix: {fold: [0]}\n    after: sum\n"
)


def answers(study: Path) -> dict[str, str]:
    """What each job of a study wrote, by its id."""
    files = study.glob("store/*/*/answer.txt")
    return {file.parent.name.partition(".")[0]: file.read_text() for file in files}


def restarts(project: SlurmProject, task: str) -> int:
    shown = project.slurm.run("scontrol", "show", "job", task)
    return int(shown.partition("Restarts=")[2].split()[0])


def environments() -> Iterator[list[str]]:
    """Of every process of this machine, as it was when the process started."""
    for pid in processes():
        with suppress(OSError):
            yield Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")


def go_on(project: SlurmProject) -> None:
    """Release a job when it has begun for the second time."""
    wait_until(lambda: list(project.toy.executions().values()) == [2])
    project.toy.release_jobs()


def test_all_jobs_get_done_with_the_results_of_this_machine(project: SlurmProject) -> None:
    project.launch()
    project.wait(done=JOBS)
    assert project.ran_each_once()
    on_cluster = answers(project.toy.study("light").path)
    project.toy.output_of(
        "launch", "--config-dir", "conf", "experiment=light", "study=here", "--root", "here", "--wait"
    )
    assert answers(project.toy.folder / "here" / "here") == on_cluster
    assert project.has_nothing_to_do()


@pytest.mark.slow
def test_stages_follow_each_other_alone(project: SlurmProject) -> None:
    project.toy.write_experiment("three", THREE_STAGES)
    project.launch(experiment="three")
    project.wait("three", done=7)
    summaries = project.toy.study("three").path.glob("store/*/*/summary.txt")
    assert sorted(file.read_text() for file in summaries) == 3 * ["2 files of 2 parents"]
    project.wait_until_empty()
    assert project.ran_each_once(4)


@pytest.mark.slow
def test_jobs_are_packed_into_tasks(project: SlurmProject) -> None:
    project.launch("cluster.jobs_per_task=3", "cluster.slots=2", "seed=range(0,4)")
    project.wait(done=12)
    assert [one.task_count for one in project.submissions()] == [4]
    assert project.ran_each_once(12)
    assert len(list(project.toy.study("light").path.glob("submissions/*/*_*.log"))) == 4


@pytest.mark.slow
def test_arrays_are_no_larger_than_slurm_takes(project: SlurmProject) -> None:
    toy = put_fake_in_front(project.toy, "scontrol", 'echo "MaxArraySize            = 4"')
    small = SlurmProject(toy, project.slurm)
    small.launch("cluster.throttle=2")
    small.wait(done=JOBS)
    assert sorted(one.task_count for one in small.submissions()) == [2, 4]
    assert small.ran_each_once()


@pytest.mark.slow
def test_arrays_are_no_larger_than_the_queue_allows(project: SlurmProject) -> None:
    """Arrays of 2 follow each other, sent by the keepers alone."""
    project.launch("cluster.max_submitted=6")
    project.wait(done=JOBS)
    assert [one.task_count for one in project.submissions()] == [2, 2, 2]
    assert project.ran_each_once()


@pytest.mark.slow
def test_warning_has_a_job_continue_where_it_was(project: SlurmProject) -> None:
    project.toy.hold_jobs()
    project.launch("seed=1", "fold=0")
    task = f"{project.first_array_id()}_0"
    begun(project, 1)
    project.slurm.run("scancel", "--signal=USR2", "--batch", task)
    go_on(project)
    project.wait(done=1)
    assert restarts(project, task) == 1
    assert list(project.toy.executions().values()) == [2]
    [job] = project.ledger().plans.current_jobs.values()
    record = project.ledger().record_of(job.id)
    assert [record.last_events[n]["e"] for n in (1, 2)] == ["interrupted", "done"]
    slept = project.toy.study("light").log_file(job.id, 1).read_text()
    assert slept.startswith("seed 1, attempt 1")


@pytest.mark.slow
def test_requeue_from_outside_continues(project: SlurmProject) -> None:
    project.toy.hold_jobs()
    project.launch("seed=1", "fold=0")
    task = f"{project.first_array_id()}_0"
    begun(project, 1)
    project.slurm.run("scontrol", "requeue", task)
    go_on(project)
    project.wait(done=1)
    assert list(project.toy.executions().values()) == [2]
    assert project.has_nothing_to_do()


@pytest.mark.slow
def test_what_is_cancelled_in_slurm_is_cancelled_and_can_be_resumed(project: SlurmProject) -> None:
    project.toy.hold_jobs()
    project.launch("seed=0,1", "fold=0", "cluster.throttle=1")
    number = project.first_array_id()
    begun(project, 1)
    project.slurm.run("scancel", f"{number}_1")
    project.slurm.run("scancel", f"{number}_0")
    project.wait_until_empty()
    project.wait_with_status(cancelled=2)
    assert "cancelled in SLURM" in project.toy.output_of("show", "seed=0", "fold=0")
    assert "cancelled in SLURM" in project.toy.output_of("show", "seed=1", "fold=0")
    assert project.has_nothing_to_do()
    project.toy.release_jobs()
    project.toy.output_of("resume", "light")
    project.wait(done=2)


@pytest.mark.slow
def test_a_queued_task_that_is_cancelled_in_slurm_stays_cancelled(project: SlurmProject) -> None:
    project.toy.hold_jobs()
    project.launch("seed=0,1", "fold=0", "cluster.throttle=1", "cluster.settle_s=1")
    begun(project, 1)
    project.slurm.run("scancel", f"{project.first_array_id()}_1")
    time.sleep(1.1)
    project.wait_with_status(running=1, cancelled=1)
    project.toy.release_jobs()
    project.wait_with_status(done=1, cancelled=1)
    assert len(project.submissions()) == 1


@pytest.mark.slow
def test_a_running_array_that_is_cancelled_in_slurm_is_cancelled_job_by_job(project: SlurmProject) -> None:
    """Also those jobs that write no checkpoint, and those that hear no signal."""
    project.toy.hold_jobs()
    project.launch("deaf_seeds=[1]", "cluster.jobs_per_task=3", "cluster.slots=3", "cluster.grace_s=2")
    wait_until(lambda: len(project.toy.executions()) == JOBS)
    project.slurm.run("scancel", project.first_array_id())
    project.wait_until_empty()
    project.wait_with_status(cancelled=JOBS)
    assert project.has_nothing_to_do()


def test_resume_knows_at_once_what_was_cancelled_in_slurm(project: SlurmProject) -> None:
    project.launch("seed=1", "fold=0", "sleep_s=600", "cluster.keeper=false")
    begun(project, 1)
    project.slurm.run("scancel", project.first_array_id())
    project.wait_until_empty()
    assert project.states() == {"submitted": 1}
    assert "submitted 1" in project.toy.output_of("resume", "light")


@pytest.mark.slow
def test_warning_before_the_worker_listens_harms_nothing(project: SlurmProject) -> None:
    at, go = (project.toy.folder / name for name in ("at", "go"))
    project.launch(f"cluster.setup=['touch {at}', 'until [ -e {go} ]; do sleep 0.1; done']", "seed=1", "fold=0")
    wait_until(at.exists)
    project.slurm.run("scancel", "--signal=USR2", "--batch", f"{project.first_array_id()}_0")
    time.sleep(1.0)
    go.touch()
    project.wait(done=1)
    assert project.ran_each_once(1)


@pytest.mark.slow
def test_cancel_ends_running_and_queued_tasks(project: SlurmProject) -> None:
    project.launch("sleep_s=600", "cluster.throttle=2")
    begun(project, 2)
    assert "cancelled 6 jobs" in project.toy.output_of("cancel", "light")
    project.wait_until_empty()
    assert project.states() == {"cancelled": 6}
    assert project.has_nothing_to_do()
    assert len(project.toy.executions()) == 2


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("cluster.partition=nowhere", "debug"),
        ("cluster.account=nobody", "research"),
        ("cluster.qos=best", "normal"),
        ("resources.time=20d", "7-00:00:00"),
        ("resources.gpus=5", "gpu:4"),
    ],
)
def test_what_slurm_would_refuse_is_said_before_anything_is_written(
    project: SlurmProject, override: str, why: str
) -> None:
    refused = project.toy.run_in_process("launch", *project.arguments("light", override))
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert why in refused.stderr
    assert not project.toy.root.exists() or not read_files(project.toy.root)


def test_what_a_job_sees_on_a_node(project: SlurmProject) -> None:
    """Its own GPUs and what the wrapper sets; nothing of SLURM."""
    module = project.toy.folder / "toy" / "look.py"
    module.write_text(
        "import json, os\ndef run(work):\n    (work.staging / 'answer.txt').write_text(json.dumps(dict(os.environ)))\n"
    )
    asked = ("resources.gpus=2", 'cluster.wrapper="env WRAPPED=yes"', "cluster.mail=me@example.org")
    project.launch("run=toy.look.run", "seed=1", "fold=0", *asked)
    mailed = project.slurm.run("scontrol", "show", "job", project.first_array_id())
    assert "MailUser=me@example.org" in mailed
    assert "MailType=END,FAIL" in mailed
    project.wait(done=1)
    [environment] = map(json.loads, answers(project.toy.study("light").path).values())
    assert [name for name in environment if name.startswith("SLURM")] == []
    assert environment["WRAPPED"] == "yes"
    assert len(set(environment["CUDA_VISIBLE_DEVICES"].split(","))) == 2


@pytest.mark.slow
def test_log_of_a_running_job_can_be_followed(project: SlurmProject) -> None:
    project.launch("seed=1", "fold=0", "sleep_s=1.5")
    begun(project, 1)
    followed = project.toy.output_of("logs", "-f", "seed=1", "fold=0")
    assert followed.startswith("seed 1, attempt 1")
    assert project.states() == {"done": 1}


def test_nothing_stays_behind_on_the_launching_machine(project: SlurmProject) -> None:
    process = project.toy.start("launch", *project.arguments("light", "sleep_s=600", "seed=1", "fold=0"), "--detach")
    assert process.communicate(timeout=WAIT_S)[0].startswith("light: 1 job, submitted 1")
    begun(project, 1)
    root = f"SEEDFOLD_ROOT={project.toy.root}"
    ours = [environment for environment in environments() if root in environment]
    assert ours
    assert all(any(entry.startswith("SLURM_JOB_ID=") for entry in environment) for environment in ours)


@pytest.mark.slow
def test_results_that_went_missing_run_again_when_asked_for(project: SlurmProject) -> None:
    project.launch()
    project.wait_with_status(done=JOBS)
    next(project.toy.study("light").path.glob("store/*/*/answer.txt")).unlink()
    assert "nothing to do" in project.toy.output_of("advance", "light")
    project.wait_with_status(done=JOBS - 1, lost=1)
    project.toy.output_of("resume", "light")
    project.wait_with_status(done=JOBS)
