"""Whatever happens between a launch and the scheduler's answer, every job is done once."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest
from clusters.conftest import JOBS, Project, arguments, with_fake
from toyproject import eventually

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SOON = ("cluster.settle_s=1", "cluster.query_timeout_s=20")
# Of the calls of sbatch those that submit an array are held up, not the tests before nor the keepers behind.
ARRAY = 'case "$*" in *--test-only*|*keeper*) exec $REAL "$@";; esac\n'
NEVER_SENT = ARRAY + "touch here; sleep 600"
SENT = ARRAY + '$REAL "$@" > number; touch here; sleep 600'
SENT_AND_KILLED = ARRAY + '$REAL "$@"; touch here; kill -9 $PPID'
TIMED_OUT = ARRAY + '$REAL "$@" > number; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1'


HELD = "cluster.options={hold: true}"


def kill_launcher(project: Project, sbatch: str, *args: str) -> None:
    """Launch with such an `sbatch`; when it has come to its point, kill everything on the launching machine."""
    toy = with_fake(project.toy, "sbatch", sbatch)
    launcher = toy.start("launch", *arguments("light", *SOON, *args))
    eventually(lambda: (toy.folder / "here").exists() or launcher.poll() is not None)
    assert launcher.poll() is None or "$PPID" in sbatch
    with suppress(ProcessLookupError):
        os.killpg(launcher.pid, signal.SIGKILL)
    launcher.communicate()


def release(project: Project) -> None:
    """Let held arrays start."""
    for number in {job.partition("_")[0] for job in project.job_states() if "_" in job}:
        project.slurm.run("scontrol", "release", number)


def sent(project: Project) -> int:
    """How many arrays the scheduler has been given."""
    numbers = {job.partition("_")[0] for job in project.job_states() if "_" in job}
    return len(numbers)


def come_to_rest(project: Project) -> None:
    """Have everything done, each job once, and nothing left to do."""
    project.wait_with_status(done=JOBS)
    project.settle()
    assert project.each_once()
    assert project.is_at_rest()


@pytest.mark.parametrize("sbatch", [NEVER_SENT, SENT, SENT_AND_KILLED], ids=["before", "during", "after"])
def test_launcher_killed_around_sbatch(project: Project, sbatch: str) -> None:
    kill_launcher(project, sbatch)
    assert project.submissions()[0].scheduler_id() is None or sbatch != NEVER_SENT
    come_to_rest(project)
    assert sent(project) == 1


def test_array_of_a_killed_launcher_is_found_before_it_starts(project: Project) -> None:
    kill_launcher(project, SENT, HELD)
    assert project.submissions()[0].scheduler_id() is None
    time.sleep(1.1)
    project.toy.ok("advance", "light")
    number = project.number()
    assert number == (project.toy.folder / "number").read_text().strip()
    release(project)
    come_to_rest(project)
    assert sent(project) == 1


def test_answer_of_sbatch_that_is_lost_costs_nothing(project: Project) -> None:
    toy = with_fake(project.toy, "sbatch", TIMED_OUT)
    launched = toy.inside("launch", *arguments("light", *SOON))
    assert "timed out" in launched.stdout + launched.stderr
    assert launched.returncode == 0
    come_to_rest(project)
    assert sent(project) == 1


def test_array_that_was_sent_twice_is_done_once(project: Project) -> None:
    """The scheduler took the first one and shows it to nobody before another one is sent."""
    kill_launcher(project, SENT, HELD)
    toy = with_fake(project.toy, "squeue", "exit 0")
    time.sleep(1.1)
    assert "6 tasks sent" in toy.ok("advance", "light")
    assert sent(project) == 2
    release(project)
    come_to_rest(project)


def test_many_who_advance_at_once_send_once(project: Project) -> None:
    kill_launcher(project, NEVER_SENT)
    time.sleep(1.1)
    several = [project.toy.start("advance", "light") for _ in range(4)]
    for process in several:
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, out + error
    come_to_rest(project)
    assert sent(project) == 1
    assert len(project.submissions()) == 1


def test_number_that_a_stranger_has_now_is_left_alone(project: Project, slurm_name: str) -> None:
    """A scheduler that was killed has forgotten the newest jobs, and gives their numbers to others."""
    wrap = ("--array=0-5", "--output=/dev/null", "--wrap=exec sleep 120")
    number = project.slurm.submit(f"--job-name={slurm_name}", *wrap)
    toy = with_fake(project.toy, "sbatch", ARRAY + f"echo {number}")
    toy.ok("launch", *arguments("light", *SOON, "cluster.keeper=false"))
    assert project.number() == number
    toy.ok("cancel", "light")
    assert len(project.slurm.job_states(number)) == JOBS
    assert set(project.slurm.job_states(number).values()) <= {"PENDING", "RUNNING"}
    project.toy.ok("resume", "light", *SOON)
    time.sleep(1.1)
    come_to_rest(project)
    assert set(project.slurm.job_states(number).values()) <= {"PENDING", "RUNNING"}


@pytest.mark.parametrize(
    "squeue",
    ["sleep 600", "echo '<html>log in first</html>'", "echo '1|0|RUNNING|None|other|N/A|n1|N/A'", "exit 1"],
    ids=["hangs", "nonsense", "another", "fails"],
)
def test_queue_that_cannot_be_read_harms_nothing(project: Project, squeue: str) -> None:
    impatient = ("cluster.settle_s=1", "cluster.query_timeout_s=2", "sleep_s=12")
    project.launch(*impatient)
    toy = with_fake(project.toy, "squeue", squeue)
    time.sleep(1.1)
    for command in (
        ["status", "light"],
        ["advance", "light"],
        ["launch", *arguments("light", *impatient, "seed=0,1,2")],
    ):
        ended = toy.inside(*command, PATH=toy.environment["PATH"])
        assert ended.returncode == 3, f"{command}: {ended.returncode} {ended.stdout} {ended.stderr}"
        assert "squeue" in ended.stdout + ended.stderr
    assert "failed" not in project.states()
    project.wait_with_status(done=9)
    assert project.each_once(9)


def test_queue_that_looks_empty_ends_no_running_task(project: Project) -> None:
    project.launch("cluster.settle_s=1", "sleep_s=3")
    project.wait(running=JOBS)
    toy = with_fake(project.toy, "squeue", "exit 0")
    no_accounting = with_fake(toy, "sacct", "exit 0")
    time.sleep(1.1)
    no_accounting.ok("advance", "light")
    come_to_rest(project)
    assert len(project.submissions()) == 1


def test_what_slurm_refuses_later_has_failed_with_its_words(project: Project) -> None:
    why = "Requested time limit is invalid (missing or exceeds some limit)"
    toy = with_fake(
        project.toy, "sbatch", ARRAY + f'echo "sbatch: error: Batch job submission failed: {why}" >&2; exit 1'
    )
    assert "was refused" in toy.inside("launch", *arguments("light", *SOON)).stdout
    assert project.states() == {"failed": JOBS}
    assert why in project.toy.ok("status", "light")
    assert project.is_at_rest()
    project.toy.ok("resume", "light")
    come_to_rest(project)


def test_array_that_a_limit_never_takes_is_told_and_can_be_cut(project: Project) -> None:
    told = project.launch("cluster.qos=few", "seed=range(0,17)")
    assert "cluster.max_submitted" in told
    assert "cluster.max_submitted" in project.toy.ok("status", "light")
    assert len(project.job_states()) == 1
    project.toy.ok("cancel", "light")
    assert "tasks sent" in project.toy.ok("resume", "light", "cluster.max_submitted=20")
    assert [one.task_count for one in project.submissions()[1:]] == 5 * [9] + [6]


def test_queue_that_is_full_of_others_takes_the_study_later(project: Project, slurm_name: str) -> None:
    options = ("--qos=few", "--begin=now+1hour", "--array=0-49", "--output=/dev/null", "--wrap=true")
    project.slurm.submit(f"--job-name={slurm_name}", *options)
    assert "6 tasks held back; the queue is full" in project.launch("cluster.qos=few", "cluster.max_submitted=50")
    assert project.is_at_rest() is False
    project.slurm.cancel(slurm_name)
    come_to_rest(project)
