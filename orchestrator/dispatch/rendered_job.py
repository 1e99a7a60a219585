"""One job by a command of its own, for the record: what each command does that `render` writes.

Thousands of them may start at once, on many hosts, and know nothing of each other. The first registers the file of
descriptions as a plan, under a name that all of them take from the file. Each works as a task of one submission, which
hands nothing over: a job that no command has begun waits for a person. Claims see to it that of two commands for one
job one does it; the other waits until it is through.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from seedfold.jobs.description import SHORT_ID, JobDescription
from seedfold.jobs.errors import UsageError, counted
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import PlanHeader, Plans, write_plan_once
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.failures import Policies
from seedfold.orchestrator.state.job_states import Standing, Standings
from seedfold.orchestrator.state.plan import Replacement, replaced_keys
from seedfold.orchestrator.worker.environment import Seat
from seedfold.orchestrator.worker.foreground import descriptions, read_description
from seedfold.orchestrator.worker.slots import Gpu, Machine

SETTINGS_FILE = "study.json"
_DIGEST = 16


@dataclass(frozen=True)
class DescriptionsFile:
    """A file of descriptions with the settings of their study beside it, as `render` writes them."""

    path: Path

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The settings. Raises UsageError if they are not there."""
        beside = self.path.with_name(SETTINGS_FILE)
        try:
            settings: Mapping[str, Any] = json.loads(beside.read_text(encoding="utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"--record: {beside} cannot be read ({error}); seedfold render writes it") from error
        return settings

    @cached_property
    def digest(self) -> str:
        """What tells the file from others, wherever it lies."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:_DIGEST]

    def job(self, prefix: str) -> JobDescription:
        """One job. Raises UsageError as `read_description`."""
        return read_description(self.path, prefix)

    def register(self, root: Root, study: StudyFolder, folder: Path) -> None:
        """Have the study know of all jobs of the file, as if they were launched in ``folder``.

        Raises UsageError if other jobs stand in their places, or if they are of several studies.
        """
        if any(study.plans.glob(f"*-{self.digest}.jsonl")):
            return
        jobs = list(descriptions(self.path, self.path.read_text(encoding="utf-8")))
        if any(job.study != study.name for job in jobs):
            raise UsageError(f"--jobs {self.path}: has jobs of several studies; render each one for itself")
        self._refuse_replacing(root, Plans(study), jobs)
        header = PlanHeader.now((), (), self.settings, folder)
        root.mark()
        write_plan_once(study, replace(header, time=self.path.stat().st_mtime), jobs, self.digest)

    def _refuse_replacing(self, root: Root, plans: Plans, jobs: Sequence[JobDescription]) -> None:
        places = ((plans.current.get(job.address), job) for job in jobs)
        pairs = [(old, new) for old, new in places if old is not None and old.id != new.id]
        if pairs:
            standings = Standings(root, Ledger(plans.study), Policies.parse(self.settings["failures"]))
            replacements = [Replacement(old, new, standings.of(old.id).state) for old, new in pairs]
            keys = "; ".join(replaced_keys(replacements, self.settings["identity"]))
            raise UsageError(
                f"{counted(len(pairs), 'job')} of study {plans.study.name} would be replaced ({keys}); "
                "render under another name with study=NAME"
            )


@dataclass(frozen=True)
class CommandSeat(Seat):
    """The seat of one command: in a place of this machine, or of what a scheduler gave to the shell that runs it."""

    @property
    def signals(self) -> Sequence[signal.Signals]:
        """Those of a person, and the warning before a scheduler's time limit."""
        return signal.SIGTERM, signal.SIGINT, signal.SIGUSR2

    def machine(self, cluster: Cluster, holder: Path) -> Machine:
        """The places, which all commands within one machine or one allocation share."""
        allocation = _allocation(os.environ)
        if allocation is None:
            return super().machine(cluster, holder)
        name, cpus = allocation
        places = Path(tempfile.gettempdir(), f"seedfold-{os.getuid()}", name)
        places.mkdir(parents=True, exist_ok=True, mode=0o700)
        gpus = [Gpu(index, 0) for index in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if index]
        return Machine(replace(cluster, min_free_gpu_memory=None), gpus, holder, cpus, places)


def _allocation(environment: Mapping[str, str]) -> tuple[str, int | None] | None:
    """A name for what a scheduler gave, and its number of CPUs where that is said; None outside of schedulers."""
    if job := environment.get("SLURM_JOB_ID"):
        name, cpus = f"slurm-{job}", environment.get("SLURM_CPUS_ON_NODE", "")
    elif job := environment.get("LSB_JOBID"):
        name, cpus = f"lsf-{job}-{environment.get('LSB_JOBINDEX', '0')}", environment.get("LSB_DJOB_NUMPROC", "")
    else:
        return None
    return name, int(cpus) if cpus.isdigit() else None


class Recorded:
    """A job of a registered file, and how it stands. Raises UsageError if another job has taken its place since."""

    def __init__(self, root: Root, file: DescriptionsFile, prefix: str, folder: Path) -> None:
        self.job, self._file, self._folder = file.job(prefix), file, folder
        self.study = root.study(self.job.study)
        refuse_copy(self.study)
        file.register(root, self.study, folder)
        self._ledger = Ledger(self.study)
        if self.job.id in self._ledger.plans.superseded:
            raise UsageError(
                f"{self.job.short_id}: a later launch of study {self.study.name} has put another job in its place; "
                "render again"
            )
        self._standings = Standings(root, self._ledger, Policies.parse(file.settings["failures"]))

    @property
    def standing(self) -> Standing:
        """How the job stands now."""
        self._standings.refresh()
        return self._standings.of(self.job.id)

    def lacks(self) -> str:
        """Say which parent is not done; an empty text if all are."""
        states = {parent: self._standings.of(parent).state for parent in self.job.parents}
        missing = (f"its parent {parent[:SHORT_ID]} is {state}" for parent, state in states.items() if state != "done")
        return next(missing, "")

    def work(self) -> Standing:
        """Do the job, with the retries that it has, or wait while somebody else does; return how it stands then.

        One that failed or was cancelled is handed over anew: who runs its command wants it.
        """
        from seedfold.orchestrator.dispatch.resume import STOPPED, forgive
        from seedfold.orchestrator.worker.worker import sit_down

        kept = {key: self._file.settings[key] for key in ("cluster", "failures")}
        if self.standing.state in STOPPED:
            forgive(self.study, self._ledger, [self.job.id])
            sit_down(Submission.create(self.study, [self.job.id], kept, self._folder), CommandSeat())
        else:
            own = replace(self._shared(kept), jobs=(self.job.id,), code_folder=str(self._folder))
            # A number that no other command has: a task that starts again would prove its earlier worker dead.
            sit_down(own, CommandSeat(index=int.from_bytes(os.urandom(6))))
        return self.standing

    def _shared(self, settings: Mapping[str, Any]) -> Submission:
        """The submission of all commands of the file."""
        token = f"commands-{self._file.digest}"
        with contextlib.suppress(FileExistsError):
            return Submission.create(self.study, (), settings, self._folder, token=token)
        return Submission.read(self.study.submissions / token)
