"""Runs jobs by a command of their own and records them: what each command does that `render` writes.

Most commands have one job; the jobs of a command with several may be trained together.

Thousands of such commands may start at once, on many hosts, without knowing of each other. The first one registers the
file of descriptions as a plan, under a name that all of them derive from the file. Each command is a task of one common
submission, for which no worker is started: a job that no command has begun waits for a person. Of two commands for one
job the claim lets only one run it; the other waits until the job has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from seedfold.jobs.description import SHORT_ID_LENGTH, JobDescription
from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plans import PlanHeader, Plans, write_plan_once
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.settings.private_folder import private_folder
from seedfold.orchestrator.state.job_states import JobState, JobStates
from seedfold.orchestrator.state.launch_plan import Replacement, replaced_keys
from seedfold.orchestrator.worker.environment import WorkerEnvironment
from seedfold.orchestrator.worker.foreground import read_job_description, read_job_descriptions
from seedfold.orchestrator.worker.slots import Gpu, Machine, SharedLocks

SETTINGS_FILE = "study.json"
_DIGEST = 16


@dataclass(frozen=True)
class DescriptionsFile:
    """A file of descriptions, with the settings of the study in a file next to it, as `render` writes them."""

    path: Path

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The settings. Raises UsageError if their file is missing."""
        settings_file = self.path.with_name(SETTINGS_FILE)
        try:
            settings: Mapping[str, Any] = json.loads(settings_file.read_text(encoding="utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"--record: {settings_file} cannot be read ({error}); seedfold render writes it"
            ) from error
        return settings

    @cached_property
    def digest(self) -> str:
        """The digest of the file's content, which does not depend on its path."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:_DIGEST]

    def read_job(self, prefix: str) -> JobDescription:
        """Read one job. Raises UsageError as `read_job_description` does."""
        return read_job_description(self.path, prefix)

    def register_plan(self, root: Root, study: StudyFolder, folder: Path) -> None:
        """Add all jobs of the file to the study, as if they were launched in ``folder``.

        Raises UsageError if their addresses have other jobs, or if they belong to several studies.
        """
        if any(study.plans_folder.glob(f"*-{self.digest}.jsonl")):
            return
        jobs = list(read_job_descriptions(self.path, self.path.read_text(encoding="utf-8")))
        if any(job.study != study.name for job in jobs):
            raise UsageError(f"--jobs {self.path}: has jobs of several studies; render each study separately")
        self._refuse_replacing(root, Plans(study), jobs)
        header = PlanHeader.create((), (), self.settings, folder)
        root.mark_as_root()
        write_plan_once(study, replace(header, time=self.path.stat().st_mtime), jobs, self.digest)

    def _refuse_replacing(self, root: Root, plans: Plans, jobs: Sequence[JobDescription]) -> None:
        held_jobs = plans.held_jobs()
        jobs_at_address = ((held_jobs.get(job.address), job) for job in jobs)
        pairs = [(old, new) for old, new in jobs_at_address if old is not None and old.id != new.id]
        if pairs:
            states = JobStates(root, Ledger(plans.study), RetryPolicies.parse(self.settings["failures"]))
            replacements = [Replacement(old, new, states.of(old.id).state) for old, new in pairs]
            keys = "; ".join(replaced_keys(replacements, self.settings["identity"]))
            raise UsageError(
                f"{count_noun(len(pairs), 'job')} of study {plans.study.name} would be replaced ({keys}); "
                "render under another name with study=NAME"
            )


@dataclass(frozen=True)
class CommandEnvironment(WorkerEnvironment):
    """The worker environment of one command: it has a slot of this machine, or of its scheduler's allocation."""

    @property
    def stop_signals(self) -> Sequence[signal.Signals]:
        """The signals of a person, and the warning before a scheduler's time limit."""
        return signal.SIGTERM, signal.SIGINT, signal.SIGUSR2

    def machine(self, cluster: ClusterSettings, holder: Path) -> Machine:
        """The slots, which all commands on one machine or in one allocation share."""
        allocation = _find_allocation(os.environ)
        if allocation is None:
            return super().machine(cluster, holder)
        name, cpus = allocation
        locks = SharedLocks(private_folder(name))
        gpus = [Gpu(index, 0) for index in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if index]
        return Machine(replace(cluster, min_free_gpu_memory=None), gpus, holder, cpus, locks)


def _find_allocation(environment: Mapping[str, str]) -> tuple[str, int | None] | None:
    """A name for the scheduler's allocation, and its number of CPUs if that is known; None outside of schedulers."""
    if job := environment.get("SLURM_JOB_ID"):
        name, cpus = f"slurm-{job}", environment.get("SLURM_CPUS_ON_NODE", "")
    elif job := environment.get("LSB_JOBID"):
        name, cpus = f"lsf-{job}-{environment.get('LSB_JOBINDEX', '0')}", environment.get("LSB_DJOB_NUMPROC", "")
    else:
        return None
    return name, int(cpus) if cpus.isdigit() else None


class RecordedJobs:
    """Jobs of a registered file, and their states. Raises UsageError if another job has the address of one now."""

    def __init__(self, root: Root, file: DescriptionsFile, prefixes: Sequence[str], folder: Path) -> None:
        self.jobs = list({job.id: job for job in map(file.read_job, prefixes)}.values())
        self._file, self._folder = file, folder
        self.study = root.study_folder(self.jobs[0].study)
        refuse_copy(self.study)
        file.register_plan(root, self.study, folder)
        self._ledger = Ledger(self.study)
        for job in self.jobs:
            if job.id in self._ledger.plans.superseded:
                raise UsageError(
                    f"{job.short_id}: a later launch of study {self.study.name} has"
                    " replaced this job; render the study again"
                )
        self._states = JobStates(root, self._ledger, RetryPolicies.parse(file.settings["failures"]))

    def states(self) -> list[JobState]:
        """The states of the jobs now."""
        self._states.refresh()
        return [self._states.of(job.id) for job in self.jobs]

    def missing_parent(self, job: JobDescription) -> str:
        """Return which parent is not done; an empty text if all are done."""
        states = {parent: self._states.of(parent).state for parent in job.parents}
        reasons = (
            f"its parent {parent[:SHORT_ID_LENGTH]} is {state}" for parent, state in states.items() if state != "done"
        )
        return next(reasons, "")

    def run(self) -> None:
        """Run the jobs that are not done, with their retries, or wait while another process runs them.

        A job that failed or was cancelled is run again, because the person who runs its command wants that.
        """
        from seedfold.orchestrator.dispatch.resume import STOPPED_STATES
        from seedfold.orchestrator.dispatch.resumed_jobs import record_resumed
        from seedfold.orchestrator.worker.task import run_task

        submission_settings = {key: self._file.settings[key] for key in ("cluster", "failures")}
        state_of = {job.id: state.state for job, state in zip(self.jobs, self.states(), strict=True)}
        left = tuple(job for job, state in state_of.items() if state != "done")
        stopped = [job for job in left if state_of[job] in STOPPED_STATES]
        if stopped:
            record_resumed(self.study, self._ledger, stopped)
            run_task(Submission.create(self.study, left, submission_settings, self._folder), CommandEnvironment())
        elif left:
            own_submission = replace(
                self._shared_submission(submission_settings), jobs=left, code_folder=str(self._folder)
            )
            # A number that no other command has: a second start of one task would mean that its earlier worker is dead.
            run_task(own_submission, CommandEnvironment(index=int.from_bytes(os.urandom(6))))

    def _shared_submission(self, settings: Mapping[str, Any]) -> Submission:
        """The submission that all commands of the file share."""
        token = f"commands-{self._file.digest}"
        with contextlib.suppress(FileExistsError):
            return Submission.create(self.study, (), settings, self._folder, token=token)
        return Submission.read(self.study.submissions_folder / token)
