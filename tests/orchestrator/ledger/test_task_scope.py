"""What the worker of one task reads of a ledger, however many other tasks there are, and what every command reads."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from scripted_scheduler import ScriptedEnvironment, ScriptedScheduler, install, run_task, submissions
from toyproject import Toy

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger import events as ledger_events
from seedfold.orchestrator.ledger.claims import claim_attempt, latest_attempt_number
from seedfold.orchestrator.ledger.events import EventReader, EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plan_table import PlanTable
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.task_scope import events_prefix, related_jobs
from seedfold.orchestrator.schedulers.advance import advance
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state import job_states
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.worker.attempt_requests import AttemptRequests
from seedfold.orchestrator.worker.messages import AttemptRequest

SLURM = ("cluster=slurm", "cluster.settle_s=1", "cluster.jobs_per_task=1")


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> ScriptedScheduler:
    return install(monkeypatch)


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files of events of which something is read."""
    read, names = EventReader._read_bytes, list[str]()

    def note(reader: EventReader, name: str, start: int, end: int) -> bytes:
        names.append(name)
        return read(reader, name, start, end)

    monkeypatch.setattr(EventReader, "_read_bytes", note)
    return names


def end_task(toy: Toy, study: str, job: str, kind: str = "interrupted") -> None:
    """Have the task of a job begin the job and end, as its worker records it."""
    [(submission, index)] = [(one, one.jobs.index(job)) for one in submissions(toy, study) if job in one.jobs]
    folder = toy.study(study).events_folder
    with closing(EventWriter(folder, events_prefix(submission.token, index))) as events:
        events.append("started", job=job, n=1, process=ProcessIdentity.current().to_dict())
        events.append(kind, job=job, n=1, reason="it was stopped")
    submission.tasks.record_start(index, 0)
    submission.tasks.record_end(index, 0, by="worker", closed=False)


def launched(toy: Toy, study: str, jobs: int = 0) -> list[str]:
    """Launch a study on the scheduler; return the ids of its jobs."""
    points = (f"seed=range(0,{jobs})",) if jobs else ()
    ended = toy.launch(*SLURM, *points, experiment=study)
    assert ended.returncode == 0, ended.stderr
    return Ledger(toy.study(study)).plans.current_ids()


def test_a_task_reads_the_events_of_its_own_jobs_and_of_commands(
    toy: Toy, scheduler: ScriptedScheduler, files_read: list[str]
) -> None:
    jobs = launched(toy, "light")
    for job in jobs:
        end_task(toy, "light", job)
    toy.output_of("cancel", "light", "--where", "seed=1")
    files_read.clear()
    ledger = Ledger(toy.study("light"), keeps=False, about=jobs[:1])
    assert ledger.is_partial
    assert ledger.record_of(jobs[0]).latest_attempt == 1
    assert len(set(files_read)) == 2
    assert ledger.cancelled_jobs == set(jobs[3:])
    assert Ledger(toy.study("light")).record_of(jobs[1]).latest_attempt == 1


def test_a_task_knows_what_became_of_the_parents_of_its_jobs(
    toy: Toy, scheduler: ScriptedScheduler, files_read: list[str]
) -> None:
    jobs = launched(toy, "chain")
    planned = Ledger(toy.study("chain")).plans.jobs
    child = next(job for job in jobs if planned[job].parents)
    for job in jobs:
        end_task(toy, "chain", job)
    files_read.clear()
    ledger = Ledger(toy.study("chain"), keeps=False, about=[child])
    assert [ledger.record_of(parent).latest_attempt for parent in planned[child].parents] == [1, 1]
    assert len(set(files_read)) == 3


def test_a_task_knows_what_became_of_the_pilot_jobs_for_which_its_jobs_are_held(
    toy: Toy, scheduler: ScriptedScheduler
) -> None:
    jobs = launched(toy, "light")
    end_task(toy, "light", jobs[5])
    study = toy.study("light")
    with closing(EventWriter(study.events_folder)) as events:
        events.append("held", jobs={jobs[0]: 0}, pilots=[jobs[5]], auto=True)
    ledger = Ledger(study, keeps=False, about=jobs[:1])
    assert ledger.record_of(jobs[5]).latest_attempt == 1


def test_for_jobs_that_share_a_fit_or_are_in_no_plan_the_whole_ledger_is_read(
    toy: Toy, scheduler: ScriptedScheduler
) -> None:
    jobs = launched(toy, "light")
    planned = dict(Ledger(toy.study("light")).plans.jobs)
    assert related_jobs(planned, jobs[:2]) == set(jobs[:2])
    assert related_jobs(planned | {jobs[1]: replace(planned[jobs[1]], fit=jobs[0])}, jobs[:2]) is None
    assert related_jobs(planned, ["search"]) is None


def test_files_of_ended_tasks_are_looked_at_once(toy: Toy, scheduler: ScriptedScheduler) -> None:
    jobs = launched(toy, "light")
    for job in jobs[:4]:
        end_task(toy, "light", job)
    folder, running = toy.study("light").events_folder, events_prefix("other", 5)
    with closing(EventWriter(folder, running)) as events:
        events.append("started", job=jobs[5], n=1, process={})
        reader = EventReader(folder, is_ended=lambda name: not name.startswith(running))
        assert len(reader.read_new()) == 9
        # Nobody looks at them again, so that nothing is noticed either.
        for file in folder.glob("task.*"):
            file.write_text(2 * file.read_text())
        assert [event["job"] for event in reader.read_new()] == [jobs[5]]


def test_what_many_small_files_say_is_kept(
    toy: Toy, scheduler: ScriptedScheduler, files_read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = launched(toy, "light")
    study = toy.study("light")
    for index in range(120):
        with closing(EventWriter(study.events_folder, events_prefix("other", index))) as events:
            events.append("started", job=jobs[0], n=index + 1, process={})
    # As if they had been written long ago.
    monkeypatch.setattr(ledger_events, "_SETTLED_S", -1e6)
    Ledger(study)
    assert len(files_read) == 120
    files_read.clear()
    assert Ledger(study).record_of(jobs[0]).latest_attempt == 120
    assert files_read == []


def test_who_asks_for_queued_jobs_reads_no_study_in_which_they_have_not_begun(
    toy: Toy, scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = launched(toy, "light", 20)
    assert toy.launch(*SLURM, "study=other", "seed=70", experiment="light").returncode == 0
    read: list[str] = []

    def note(study: StudyFolder) -> Ledger:
        read.append(study.name)
        return Ledger(study)

    monkeypatch.setattr(job_states, "Ledger", note)
    ledger = Ledger(toy.study("light"))
    states = JobStates(Root(toy.root), ledger, RetryPolicies.parse({}))
    assert ({states.of(job).state for job in jobs}, read) == ({"submitted"}, [])
    assert claim_attempt(Root(toy.root), toy.study("other"), jobs[0], 1, "none") is None
    states.refresh()
    assert ({states.of(job).state for job in jobs}, read) == ({"submitted"}, ["other"])


@pytest.mark.parametrize("is_rerun", [False, True])
def test_what_another_study_does_after_a_worker_has_asked_is_not_done_again_unless_a_person_wants_it(
    toy: Toy, scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch, is_rerun: bool
) -> None:
    jobs = launched(toy, "light")
    [queued] = submissions(toy, "light")
    shutil.copytree(toy.study("light").plans_folder, toy.study("other").plans_folder)
    Submission.create(toy.study("other"), jobs, queued.settings, toy.folder, array=queued.array)
    if is_rerun:
        Submission.create(toy.study("light"), jobs, queued.settings, toy.folder, {jobs[0]: 0}, queued.array)
    make, asked = AttemptRequests.make, list[str]()

    def let_the_other_one_be_faster(requests: AttemptRequests, *about: Any) -> AttemptRequest:
        if requests.study.name == "light" and not asked:
            asked.append(about[0].id)
            run_task(toy, ScriptedEnvironment(index=0), study="other")
            assert Ledger(toy.study("other")).is_done(jobs[0])
        return make(requests, *about)

    monkeypatch.setattr(AttemptRequests, "make", let_the_other_one_be_faster)
    run_task(toy, ScriptedEnvironment(index=0))
    assert asked == jobs[:1]
    assert toy.executions()[jobs[0]] == 1 + is_rerun
    assert latest_attempt_number(toy.study("light"), jobs[0]) == is_rerun
    state = JobStates(Root(toy.root), Ledger(toy.study("light")), RetryPolicies.parse({})).of(jobs[0])
    assert (state.state, state.holding_study.name) == ("done", "light" if is_rerun else "other")


def test_advance_looks_at_no_result_and_at_no_description_of_jobs_that_are_done_or_queued(
    toy: Toy, scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = launched(toy, "light")
    run_task(toy, ScriptedEnvironment(index=0))
    described: list[int] = []
    real = PlanTable.job

    def note(table: PlanTable, row: int) -> JobDescription:
        described.append(row)
        return real(table, row)

    looked: list[str] = []
    check = job_states._check_done
    monkeypatch.setattr(PlanTable, "job", note)
    monkeypatch.setattr(job_states, "_check_done", lambda *args: looked.append(args[1]) or check(*args))
    ledger = Ledger(toy.study("light"))
    assert ledger.is_done(jobs[0])
    advance(Root(toy.root), toy.study("light"), ledger)
    assert (looked, described) == ([], [])
