"""Whatever happens between a launch and the scheduler's answer, every job is done once: on SLURM and on LSF."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest
from clusters.conftest import JOBS, Project, SlurmProject, array_ids, put_fake_in_front
from clusters.slurm.configuration import FEW
from toyproject import WAIT_S, Toy, wait_until

pytestmark = pytest.mark.slow

SOON = ("cluster.settle_s=1", "cluster.query_timeout_s=20")
# What happens to a submission of an array; tests before and keepers behind go through.
NEVER_SENT = "touch here; sleep 600"
SENT = 'submit "$@" > number; touch here; sleep 600'
SENT_AND_KILLED = 'submit "$@"; touch here; kill -9 $PPID'
TIMED_OUT = {
    "slurm": 'submit "$@" > number; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1',
    "lsf": 'submit > number; echo "batch system daemon not responding ... still trying" >&2; exit 255',
}
REFUSED = {
    "slurm": "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or so)",
    "lsf": "RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.",
}


def submitting(project: Project, body: str) -> Toy:
    """The project with such a command to submit arrays with."""
    return put_fake_in_front(project.toy, project.submit_command, project.array_only_lines + body)


def kill_launcher(project: Project, body: str, *args: str) -> None:
    """Launch with such a command; when it has come to its point, kill everything on the launching machine."""
    toy = submitting(project, body)
    launcher = toy.start("launch", *project.arguments("light", *SOON, *args))
    wait_until(lambda: (toy.folder / "here").exists() or launcher.poll() is not None)
    assert launcher.poll() is None or "$PPID" in body
    with suppress(ProcessLookupError):
        os.killpg(launcher.pid, signal.SIGKILL)
    launcher.communicate()


def release(project: Project) -> None:
    """Let held arrays start."""
    for number in array_ids(project.job_states()):
        project.release(number)


def sent(project: Project) -> int:
    """How many arrays the scheduler has been given."""
    return len(array_ids(project.job_states()))


def come_to_rest(project: Project) -> None:
    """Have everything done, each job once, and nothing left to do."""
    project.wait_with_status(done=JOBS)
    project.wait_until_empty()
    assert project.ran_each_once()
    assert project.has_nothing_to_do()


# Only how an array is found again differs between schedulers.
@pytest.mark.parametrize(
    ("either", "body"),
    [
        pytest.param("project", NEVER_SENT, marks=pytest.mark.slurm, id="slurm-before"),
        pytest.param("project", SENT, marks=pytest.mark.slurm, id="slurm-during"),
        pytest.param("project", SENT_AND_KILLED, marks=pytest.mark.slurm, id="slurm-after"),
        pytest.param("on_classic", SENT, id="lsf-during"),
    ],
    indirect=["either"],
)
def test_launcher_killed_while_it_submits(either: Project, body: str) -> None:
    kill_launcher(either, body)
    assert either.submissions()[0].scheduler_id() is None or body != NEVER_SENT
    come_to_rest(either)
    assert sent(either) == 1


def test_array_of_a_killed_launcher_is_found_before_it_starts(either: Project) -> None:
    kill_launcher(either, SENT, either.hold_override)
    assert either.submissions()[0].scheduler_id() is None
    time.sleep(1.1)
    either.toy.output_of("advance", "light")
    assert either.first_array_id() in (either.toy.folder / "number").read_text()
    release(either)
    come_to_rest(either)
    assert sent(either) == 1


def test_answer_that_is_lost_costs_nothing(either: Project) -> None:
    toy = submitting(either, TIMED_OUT[either.scheduler])
    launched = toy.run_in_process("launch", *either.arguments("light", *SOON))
    assert "a later command finds out" in launched.stdout + launched.stderr
    assert launched.returncode == 3
    come_to_rest(either)
    assert sent(either) == 1


def test_who_never_heard_an_answer_sends_again_and_need_not_end_before(either: Project) -> None:
    """Whoever launches from a notebook, or with --wait, lives on."""
    toy = submitting(either, "echo '<html>try again later</html>'")
    assert "6 tasks sent without an answer" in toy.run_in_process("launch", *either.arguments("light", *SOON)).stdout
    time.sleep(1.1)
    come_to_rest(either)
    assert sent(either) == 1


def test_array_that_was_sent_twice_is_done_once(either: Project) -> None:
    """The scheduler took the first one and shows it to nobody before another one is sent."""
    kill_launcher(either, SENT, either.hold_override)
    toy = put_fake_in_front(either.toy, either.list_command, "exit 0")
    time.sleep(1.1)
    assert "6 tasks sent" in toy.output_of("advance", "light")
    assert sent(either) == 2
    release(either)
    come_to_rest(either)


def test_many_who_advance_at_once_send_once(either: Project) -> None:
    kill_launcher(either, NEVER_SENT)
    time.sleep(1.1)
    several = [either.toy.start("advance", "light") for _ in range(4)]
    for process in several:
        out, error = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, out + error
    come_to_rest(either)
    assert sent(either) == 1
    assert len(either.submissions()) == 1


@pytest.mark.slurm
def test_number_that_a_stranger_has_now_is_left_alone(project: SlurmProject, slurm_name: str) -> None:
    """A scheduler that was killed has forgotten the newest jobs, and gives their numbers to others."""
    wrap = ("--array=0-5", "--output=/dev/null", "--wrap=exec sleep 600")
    number = project.slurm.submit(f"--job-name={slurm_name}", *wrap)
    toy = submitting(project, f"echo {number}")
    toy.output_of("launch", *project.arguments("light", *SOON, "cluster.keeper=false"))
    assert project.first_array_id() == number
    toy.output_of("cancel", "light")
    assert len(project.slurm.job_states(number)) == JOBS
    assert set(project.slurm.job_states(number).values()) <= {"PENDING", "RUNNING"}
    project.toy.output_of("resume", "light", *SOON)
    time.sleep(1.1)
    come_to_rest(project)
    assert set(project.slurm.job_states(number).values()) <= {"PENDING", "RUNNING"}


UNREADABLE = {
    "hangs": "sleep 600",
    "nonsense": "echo '<html>log in first</html>'",
    "another": "echo '1|0|RUNNING|None|other|N/A|n1|N/A'",
    "fails": "exit 1",
}


def test_queue_that_cannot_be_read_harms_nothing(either: Project) -> None:
    impatient = ("cluster.settle_s=1", "cluster.query_timeout_s=3", "fold=0")
    either.toy.hold_jobs()
    either.launch(*impatient)
    time.sleep(1.1)
    for name, answer in UNREADABLE.items():
        toy = put_fake_in_front(either.toy, either.list_command, answer)
        for command in (
            ["status", "light"],
            ["advance", "light"],
            ["launch", *either.arguments("light", *impatient, "seed=0,1,2")],
        ):
            ended = toy.run_in_process(*command)
            assert ended.returncode == 3, f"{name}: {command}: {ended.returncode} {ended.stdout} {ended.stderr}"
            assert either.list_command in ended.stdout + ended.stderr
        assert "failed" not in either.states()
    either.toy.release_jobs()
    # Where nothing could be submitted, nothing was written.
    either.launch(*impatient, "seed=0,1,2")
    either.wait_with_status(done=3)
    assert either.ran_each_once(3)


def test_queue_that_looks_empty_ends_no_running_task(either: Project) -> None:
    either.toy.hold_jobs()
    either.launch("cluster.settle_s=1")
    either.wait(running=JOBS)
    toy = put_fake_in_front(either.toy, either.list_command, "exit 0")
    forgetful = put_fake_in_front(toy, {"slurm": "sacct", "lsf": "bhist"}[either.scheduler], "exit 0")
    time.sleep(1.1)
    forgetful.output_of("advance", "light")
    either.toy.release_jobs()
    come_to_rest(either)
    assert len(either.submissions()) == 1


def test_what_is_refused_later_has_failed_with_the_schedulers_words(either: Project) -> None:
    why = REFUSED[either.scheduler]
    toy = submitting(either, f'echo "{why}" >&2; exit 255')
    ended = toy.run_in_process("launch", *either.arguments("light", *SOON))
    assert ended.returncode == 1
    assert "6 jobs were not submitted" in ended.stderr
    assert "held back" not in ended.stdout + ended.stderr
    assert either.states() == {"failed": JOBS}
    assert why.removesuffix(". Job not submitted.")[-40:] in either.toy.output_of("status", "light")
    assert either.has_nothing_to_do()
    either.launch(*SOON, "cluster.margin_s=60")
    come_to_rest(either)


@pytest.mark.slurm
@pytest.mark.timeout(1200)
def test_array_that_a_limit_never_takes_is_told_and_can_be_cut(few: str, project: SlurmProject) -> None:
    told = project.launch(f"cluster.qos={few}", "seed=range(0,5)")
    assert "cluster.max_submitted" in told
    assert "cluster.max_submitted" in project.toy.output_of("status", "light")
    assert len(project.job_states()) == 1
    project.toy.output_of("cancel", "light")
    assert "tasks sent" in project.toy.output_of("resume", "light", "cluster.max_submitted=8")
    assert [one.task_count for one in project.submissions()[1:]] == 5 * [3]


@pytest.mark.slurm
@pytest.mark.timeout(1200)
def test_queue_that_is_full_of_others_takes_the_study_later(few: str, project: SlurmProject, slurm_name: str) -> None:
    options = (f"--qos={few}", "--begin=now+1hour", f"--array=0-{FEW - 1}", "--output=/dev/null", "--wrap=true")
    project.slurm.submit(f"--job-name={slurm_name}", *options)
    limits = (f"cluster.qos={few}", f"cluster.max_submitted={FEW}")
    assert "6 tasks held back; the queue is full" in project.launch(*limits)
    assert project.has_nothing_to_do() is False
    project.slurm.cancel(slurm_name)
    come_to_rest(project)
