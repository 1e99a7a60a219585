"""Which jobs of a worker share a GPU (``cluster.jobs_per_gpu``), and what is found out while they do.

With ``auto`` a GPU gets one job of a stage at first. While jobs run, their memory and how busy the GPU is are looked at
every second. What that says of the stage is recorded in the ledger: the workers of the study begin with what others
have found for a GPU of the same size.

A job that runs out of GPU memory beside others is not to blame: it is tried again alone.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.gpu_shares import GpuShare
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.failures import Failure
from seedfold.orchestrator.worker.gpu_number import fitting_jobs, needed_bytes, next_number
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.mps import MpsDaemon
from seedfold.orchestrator.worker.nvml import GpuReader, GpuReading, Nvml
from seedfold.orchestrator.worker.running_attempt import RunningAttempt
from seedfold.orchestrator.worker.slots import GpuPlaces, Machine, Slot, visible_gpus

SAMPLE_S = 1.0
_WINDOW, _LEAST_OF_ENDED_JOB = 10, 3
"""How many looks decide; of jobs that have ended, fewer do."""
_BEGUN_S = 30.0
"""After how long a job counts as being on its GPU if NVML does not show its process, as in some containers."""
_OUTSIDE_OF_TORCH_BYTES = 600 * 1024**2
"""What a process takes of a GPU beside its tensors, where only torch has told what these took."""


@dataclass(slots=True)
class _Window:
    """How busy a GPU was while the same jobs computed on it."""

    jobs: frozenset[str] = frozenset()
    percents: list[float] = field(default_factory=list)


class GpuSharing:
    """The GPUs of the worker of one task, and the jobs on them."""

    def __init__(
        self,
        cluster: ClusterSettings,
        machine: Machine,
        ledger: Ledger,
        events: EventWriter,
        node: str,
        reader: GpuReader | None = None,
    ) -> None:
        self._is_auto, self._most = cluster.jobs_per_gpu is None, cluster.most_jobs_per_gpu
        self._machine, self._ledger, self._events, self._node = machine, ledger, events, node
        self._reader = reader or Nvml()
        self._looked_at = -inf
        self._readings: dict[str, GpuReading] = {}
        self._windows: defaultdict[str, _Window] = defaultdict(_Window)
        self._largest: dict[str, int] = {}
        self._own: dict[tuple[str, int], GpuShare] = {}
        self._ended: list[tuple[str, str]] = []
        self._alone: set[str] = set()
        self._wants_mps = cluster.mps == "auto" and self._most > 1
        self._mps: MpsDaemon | None = None

    def close(self) -> None:
        """End what was started for the jobs."""
        if self._mps is not None:
            self._mps.close()
            self._mps = None

    # --- starting -------------------------------------------------------------------------------------------------

    def places(self, job: JobDescription, running: Mapping[str, RunningAttempt]) -> GpuPlaces | None:
        """Say what ``job`` may take of the GPUs next to the ``running`` jobs; None if it asks for none."""
        if not job.resources.gpus:
            return None
        alone = job.id in self._alone or bool((self._ledger.record_of(job.id).latest_event or {}).get("alone"))
        if not self._is_auto:
            return GpuPlaces(alone=alone)
        self._learn_from_ended()
        gpus = [gpu.index for gpu in self._machine.gpus]
        return GpuPlaces({gpu: self._places_on(gpu, job, _present(gpu, running)) for gpu in gpus}, alone)

    def note_start(self, running: Mapping[str, RunningAttempt]) -> None:
        """Take note of which of the ``running`` jobs share a GPU now."""
        for gpu in self._machine.gpus:
            present = _present(gpu.index, running)
            for one in present:
                one.gpu_neighbours = max(one.gpu_neighbours, len(present) - 1)

    def environment_variables(self, slot: Slot) -> dict[str, str]:
        """Return the environment variables that a job in ``slot`` gets for its GPUs."""
        if self._wants_mps and slot.gpus:
            self._wants_mps = False
            uuids = {gpu.index: gpu.uuid for gpu in visible_gpus()} if self._machine.gpus else {}
            uuids |= {uuid: uuid for uuid in uuids.values()}
            own = {gpu.index: uuids[gpu.index] for gpu in self._machine.gpus if gpu.index in uuids}
            self._mps = MpsDaemon.start(own if len(own) == len(self._machine.gpus) else {})
        return slot.environment_variables() | (
            self._mps.environment_variables(slot.gpus) if self._mps and slot.gpus else {}
        )

    def let_go(self, running: RunningAttempt) -> None:
        """Have a job that is about to be killed leave the GPU that it shares."""
        if self._mps is not None and running.slot.gpus and running.pid is not None:
            self._mps.let_go(running.pid)

    def _places_on(self, gpu: str, job: JobDescription, present: Sequence[RunningAttempt]) -> int:
        """Return how many places of a GPU are open to a job; one that asks for several GPUs shares none."""
        reading = self._read(gpu)
        if reading is None:
            self._record_once(job.stage, self._reader.why_not() or f"NVML does not show GPU {gpu}")
            return 1
        shares = [self._share(stage, reading) for stage in {job.stage, *(one.job.stage for one in present)}]
        if job.resources.gpus > 1 or any(one.job.resources.gpus > 1 for one in present) or None in shares:
            return 1
        still_to_come = sum(max(0, self._needed(one.job.stage, reading) - one.gpu_bytes) for one in present)
        free = reading.total_bytes - reading.used_bytes - still_to_come
        if present and free < self._needed(job.stage, reading):
            return 0
        number = min(share.number for share in shares if share is not None)
        return number if len(present) < number else 0

    def _needed(self, stage: str, reading: GpuReading) -> int:
        share = self._share(stage, reading)
        return needed_bytes(max(self._largest.get(stage, 0), share.job_bytes if share else 0))

    def _share(self, stage: str, reading: GpuReading) -> GpuShare | None:
        """The latest finding for a stage, of this worker or of another one."""
        place = stage, reading.total_bytes
        known = [share for share in (self._own.get(place), self._ledger.gpu_shares.latest.get(place)) if share]
        return max(known, key=lambda share: share.time, default=None)

    # --- looking ----------------------------------------------------------------------------------------------------

    def sample(self, running: Mapping[str, RunningAttempt]) -> None:
        """Look at the GPUs on which jobs run, if it is time to."""
        if not self._is_auto or time.monotonic() - self._looked_at < SAMPLE_S:
            return
        self._looked_at = time.monotonic()
        self._readings.clear()
        for gpu in sorted({gpu for one in running.values() for gpu in one.slot.gpus}):
            reading = self._read(gpu)
            if reading is not None:
                self._look_at(gpu, reading, _present(gpu, running))

    def note_end(self, ended: RunningAttempt, running: Mapping[str, RunningAttempt]) -> None:
        """Take note of the end of one of the ``running`` jobs: of a short one, what was seen has to be enough."""
        if not self._is_auto or not ended.slot.gpus:
            return
        self._ended.append((ended.job.id, ended.job.stage))
        for gpu in ended.slot.gpus:
            reading, window = self._read(gpu), self._windows[gpu]
            if reading is not None and len(window.percents) >= _LEAST_OF_ENDED_JOB:
                self._decide(reading, _present(gpu, running), window)
            self._readings.pop(gpu, None)

    def _read(self, gpu: str) -> GpuReading | None:
        if gpu not in self._readings:
            reading = self._reader.read(gpu)
            if reading is None:
                return None
            self._readings[gpu] = reading
        return self._readings[gpu]

    def _look_at(self, gpu: str, reading: GpuReading, present: Sequence[RunningAttempt]) -> None:
        for one in present:
            if one.pid is not None:
                one.gpu_bytes = max(one.gpu_bytes, reading.bytes_of_session(one.pid))
                self._learn_size(one.job.stage, one.gpu_bytes)
        jobs = frozenset(f"{one.job.id}.{one.attempt}" for one in present)
        window = self._windows[gpu]
        if window.jobs != jobs:
            window = self._windows[gpu] = _Window(jobs)
        if all(map(_has_begun, present)):
            if reading.percent is None:
                return self._record_once(present[0].job.stage, f"NVML does not say how busy GPU {gpu} is")
            window.percents.append(reading.percent)
        if len(window.percents) >= _WINDOW:
            self._decide(reading, present, window)

    def _learn_size(self, stage: str, size: int) -> None:
        self._largest[stage] = max(size, self._largest.get(stage, 0))

    def _learn_from_ended(self) -> None:
        """Learn from what jobs have told of themselves at their end."""
        ended, self._ended = self._ended, []
        for job, stage in ended:
            told = ((self._ledger.record_of(job).done_event or {}).get("usage") or {}).get("gpu_memory_bytes")
            if told:
                self._learn_size(stage, int(told) + _OUTSIDE_OF_TORCH_BYTES)

    # --- deciding ---------------------------------------------------------------------------------------------------

    def _decide(self, reading: GpuReading, present: Sequence[RunningAttempt], window: _Window) -> None:
        """Decide how many jobs of a stage share such a GPU. Jobs of several stages together say nothing of one."""
        percents, window.percents = window.percents, []
        largest = {one.job.stage: self._largest.get(one.job.stage, 0) for one in present}
        if len(largest) != 1 or not all(largest.values()):
            return
        [(stage, job_bytes)] = largest.items()
        known = self._share(stage, reading)
        if known is not None:
            job_bytes = max(job_bytes, known.job_bytes)
        others = max(0, reading.used_bytes - sum(one.gpu_bytes for one in present))
        ceiling = known.most if known is not None else None
        by_cpus = self._most_of(present[0].job)
        most = min(by_cpus, ceiling or self._most)
        fitting, busy = fitting_jobs(reading.total_bytes, others, job_bytes), sum(percents) / len(percents)
        number = next_number(len(present), fitting, busy, most)
        if known is not None:
            # Fewer were running, perhaps because no more were left.
            number = max(number, min(known.number, fitting, most))
        why = "no CPUs for more" if number == by_cpus < self._most else ""
        share = GpuShare(stage, reading.total_bytes, number, job_bytes, round(busy, 1), ceiling, why=why)
        if known is None or known.number != number or job_bytes > 1.1 * known.job_bytes:
            self._record(share)

    def _most_of(self, job: JobDescription) -> int:
        """How many jobs like this one the CPUs allow on each GPU."""
        per_gpu = self._machine.cpus // (job.resources.cpus * max(1, len(self._machine.gpus)))
        return max(1, min(self._most, per_gpu))

    def blame_neighbours(self, ended: RunningAttempt, failure: Failure) -> str | None:
        """Return why a failure is not that of the job, in words, if it ran beside others; None if it is its own.

        It is tried again alone, and fewer jobs share a GPU.
        """
        is_of_gpu = failure.kind == "oom_gpu" or (failure.kind == "error" and "MPS" in failure.reason)
        if not ended.gpu_neighbours or not is_of_gpu:
            return None
        jobs = ended.gpu_neighbours + 1
        self._alone.add(ended.job.id)
        reading = self._read(ended.slot.gpus[0]) if self._is_auto else None
        if reading is not None and failure.kind == "oom_gpu":
            known = self._share(ended.job.stage, reading) or GpuShare(ended.job.stage, reading.total_bytes, 1, 0)
            most = min(jobs - 1, known.most or jobs)
            why = f"{jobs} did not fit into its memory"
            self._record(replace(known, number=min(known.number, most), most=most, percent=None, why=why))
        return f"{failure.reason} ({count_noun(jobs, 'job')} shared the GPU; this one is tried again alone)"

    def _record_once(self, stage: str, reason: str) -> None:
        share = GpuShare(stage, 0, 1, 0, why=reason)
        known = self._own.get((stage, 0)) or self._ledger.gpu_shares.latest.get((stage, 0))
        if known is None or known.why != reason:
            self._record(share)

    def _record(self, share: GpuShare) -> None:
        share = replace(share, node=self._node, time=time.time())
        self._own[share.stage, share.gpu_bytes] = share
        self._events.append("gpu_share", jobs={}, **share.to_details())
        say(share.to_text())


def _present(gpu: str, running: Mapping[str, RunningAttempt]) -> list[RunningAttempt]:
    return [one for one in running.values() if gpu in one.slot.gpus]


def _has_begun(one: RunningAttempt) -> bool:
    return one.gpu_bytes > 0 or time.time() - one.started_at > _BEGUN_S
