"""Slots for jobs on this machine. They belong to the machine and the user: the workers of all studies share them.

A slot is a lock file in the user's own folder under the machine's temporary folder, held with flock while a job runs;
the kernel frees it when its holder dies. The text in the file names the holder, for workers that wait; it means nothing
when the lock is free. A worker that shares its CPUs and GPUs with nobody counts its slots in memory, and so does one
that was told not to wait for the slots of others: it still holds those that are free, and has no more jobs at a time
than without the others.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from seedfold.jobs.errors import count_noun
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.private_folder import open_private_file, private_folder

_GPU_LINE = re.compile(r"\s*(\d+)\s*,\s*(\S+)\s*,\s*(\S+)\s*")
"""Other lines are messages of the driver."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as the driver shows it. ``free_bytes`` of its memory are unused."""

    index: str
    free_bytes: int
    uuid: str = ""


def visible_gpus() -> list[Gpu]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES allows; none where there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    import subprocess

    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    rows = [found.groups() for found in map(_GPU_LINE.fullmatch, listed.splitlines()) if found]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = None if allowed is None else [name.strip() for name in allowed.split(",")]
    return [
        # A GPU that shares the memory of the host reports none of its own.
        Gpu(index, int(free) * 1024**2 if free.isdecimal() else 0, uuid)
        for index, uuid, free in rows
        if names is None or index in names or uuid in names
    ]


@dataclass(frozen=True, slots=True)
class GpuPlaces:
    """What a job may take of the GPUs: on each as many places as ``of_gpu`` says, or as many as the machine has.

    A job that has to be ``alone`` takes all places of its GPUs.
    """

    of_gpu: Mapping[str, int] = field(default_factory=dict)
    alone: bool = False


Release = Callable[[], None]


@dataclass(slots=True)
class Slot:
    """A slot that this process holds until `release`."""

    locks: list[Release]
    gpus: tuple[str, ...]

    def environment_variables(self) -> dict[str, str]:
        """The environment variables that let a job in this slot see its own GPUs only, or none."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}

    def release(self) -> None:
        """Free the slot."""
        for release in self.locks:
            release()
        self.locks.clear()


def share_slot(slot: Slot, count: int) -> list[Slot]:
    """Return parts of a slot for jobs that run in one process: it is free when all of them are released."""
    held = [object()] * count

    def release() -> None:
        held.pop()
        if not held:
            slot.release()

    return [Slot([release], slot.gpus) for _ in range(count)]


class Locks(Protocol):
    """Locks by name."""

    def try_lock(self, name: str, holder: str) -> Release | None:
        """Take a lock and return what gives it back; None if it is taken."""

    def holder(self, name: str) -> str:
        """Who holds a lock that is taken."""


@dataclass(frozen=True, slots=True)
class SharedLocks:
    """Locks that all workers of this user on this machine share: files in a private folder."""

    folder: Path

    def try_lock(self, name: str, holder: str) -> Release | None:
        """Lock the file of this name."""
        handle = open_private_file(self.folder / name)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        os.ftruncate(handle, 0)
        os.pwrite(handle, os.fsencode(holder), 0)
        return lambda: os.close(handle)

    def holder(self, name: str) -> str:
        """Read what the holder has written."""
        return os.fsdecode((self.folder / name).read_bytes())


class OwnLocks:
    """Locks of this process alone."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}

    def try_lock(self, name: str, holder: str) -> Release | None:
        """Remember the holder."""
        if name in self._holders:
            return None
        self._holders[name] = holder
        return lambda: self._holders.__delitem__(name)

    def holder(self, name: str) -> str:
        """The holder, as it was given."""
        return self._holders[name]


class FreeFirst:
    """Shared locks; with ``beside`` set, also those that others hold, which this process then only counts.

    Either way this process has each name once at most.
    """

    def __init__(self, shared: SharedLocks) -> None:
        self.beside = False
        self._shared, self._own = shared, OwnLocks()

    def try_lock(self, name: str, holder: str) -> Release | None:
        """Take a lock that nobody has or, with ``beside``, that this process does not have."""
        forget = self._own.try_lock(name, holder)
        if forget is None:
            return None
        release = self._shared.try_lock(name, holder)
        if release is None and not self.beside:
            forget()
            return None

        def release_both() -> None:
            if release is not None:
                release()
            forget()

        return release_both

    def holder(self, name: str) -> str:
        """Read what the holder of the shared lock has written."""
        return self._shared.holder(name)


def _lock_all_or_none(
    locks: Locks, names: Sequence[str], count: int, holder: str
) -> tuple[list[tuple[str, Release]] | None, list[str]]:
    """Lock ``count`` of the names, or none; also return the names that were found taken."""
    held: list[tuple[str, Release]] = []
    taken: list[str] = []
    for name in names:
        if len(held) == count:
            return held, taken
        release = locks.try_lock(name, holder)
        if release is None:
            taken.append(name)
        else:
            held.append((name, release))
    if len(held) == count:
        return held, taken
    for _, release in held:
        release()
    return None, taken


@dataclass(frozen=True, slots=True)
class SlotShortage:
    """Why a job got no slot: it needs ``needed`` of ``slots``, and each of ``holders``, folders of studies, has one.

    ``of_cpus`` tells slots of the CPUs from those of GPUs.
    """

    needed: int
    slots: int
    holders: tuple[str, ...]
    of_cpus: bool = True

    def to_text(self, root: Path) -> str:
        """Return it as one line of text. Studies outside ``root`` are named with their folder."""
        if not self.holders:
            return "waits for GPUs with enough free memory"
        names = sorted({holder.removeprefix(f"{root}/") for holder in self.holders if holder})
        wanted = "a slot" if self.needed == 1 else f"{self.needed} slots"
        studies = "study" if len(names) == 1 else "studies"
        return f"waits for {wanted}: {self._taken_text()} taken" + (
            f" by {studies} {', '.join(names)}" if names else ""
        )

    def way_on(self, study: str) -> str:
        """Say how to run beside the others: at once, and for a later launch."""
        if not self.holders:
            return ""
        setting = f"cluster.slots={2 * self.slots}" if self.of_cpus else "a larger cluster.jobs_per_gpu"
        return f"; to run beside it: seedfold resume {study} --now; a launch with {setting} would not wait either"

    def _taken_text(self) -> str:
        if len(self.holders) < self.slots:
            taken = len(self.holders)
            return f"{taken} of {self.slots} {'is' if taken == 1 else 'are'}"
        return "the only one is" if self.slots == 1 else f"all {self.slots} are"


def slots_folder() -> Path:
    """Where the slots of this machine are. Raises UsageError if somebody else may write there."""
    return private_folder("slots")


class Machine:
    """The slots of this machine, as ``cluster`` configures them: CPU slots, and ``jobs_per_gpu`` slots on each GPU."""

    def __init__(
        self,
        cluster: ClusterSettings,
        gpus: Sequence[Gpu] | None = None,
        holder: Path = Path(),
        cpus: int | None = None,
        locks: Locks | None = None,
    ) -> None:
        """``holder`` is the folder of the study of the worker.

        ``locks``, if given, are for slots that are not those of the whole machine. Raises UsageError if the folder of
        the slots cannot be trusted.
        """
        self.shortage: SlotShortage | None = None
        """Why the last job that asked for a slot got none, if others hold the slots that it needs."""
        self._holder = str(holder)
        self.cpus = cpus or len(os.sched_getaffinity(0))
        self._locks = locks or FreeFirst(SharedLocks(slots_folder()))
        self.runs_beside = False
        """Whether jobs take slots that other workers hold, where no other is free."""
        self.gpus = list(visible_gpus() if gpus is None else gpus)
        self.max_jobs = cluster.slots
        self._slots_per_gpu = cluster.most_jobs_per_gpu
        self._min_free_bytes = cluster.min_free_gpu_memory or 0

    def missing_resources(self, resources: Resources) -> str | None:
        """What a job asks for and this machine does not have, in words; None if the machine has everything."""
        if resources.gpus > len(self.gpus):
            return f"asks for {count_noun(resources.gpus, 'GPU')}; this machine has {len(self.gpus)}"
        return None

    def acquire_slot(self, resources: Resources, running: int, places: GpuPlaces | None = None) -> Slot | None:
        """Take a slot for a job, next to ``running`` other jobs of this worker; None if all slots are taken.

        ``places`` says what it may take of the GPUs. A job that asks for more CPUs than the machine has takes all of
        them.
        """
        self.shortage = None
        if self.max_jobs is not None and running >= self.max_jobs:
            return None
        if resources.gpus:
            return self._acquire_gpus(resources.gpus, places or GpuPlaces())
        return self._acquire_cpus(resources.cpus)

    def count_slots(self, resources: Resources) -> int:
        """How many jobs with these resources may run at a time; at least 1."""
        if resources.gpus:
            count = len(self.gpus) * self._slots_per_gpu // resources.gpus
        else:
            count = max(self.cpus, self.max_jobs or 0) // resources.cpus
        return max(1, count if self.max_jobs is None else min(count, self.max_jobs))

    def lock_one(self, names: Sequence[str]) -> Release | None:
        """Lock one of the names; None if all are taken."""
        return next(filter(None, (self._locks.try_lock(name, self._holder) for name in names)), None)

    def _acquire_cpus(self, count: int) -> Slot | None:
        slots = max(self.cpus, self.max_jobs or 0)
        held = self._lock_slots([f"cpu-{index}" for index in range(slots)], min(count, slots))
        return None if held is None else Slot([release for _, release in held], ())

    def _acquire_gpus(self, count: int, places: GpuPlaces) -> Slot | None:
        free = [gpu.index for gpu in self._gpus_with_free_memory()]
        if places.alone:
            return self._acquire_whole_gpus(count, free)
        most = self._slots_per_gpu
        held = self._lock_slots(
            [
                f"gpu-{index}.{slot_number}"
                for slot_number in range(most)
                for index in free
                if slot_number < places.of_gpu.get(index, most)
            ],
            count,
        )
        if held is None:
            return None
        indices = tuple(name.removeprefix("gpu-").split(".")[0] for name, _ in held)
        slot = Slot([release for _, release in held], indices)
        if len(set(indices)) < count:
            slot.release()
            return None
        return slot

    def _acquire_whole_gpus(self, count: int, free: Sequence[str]) -> Slot | None:
        slot = Slot([], ())
        for index in free:
            names = [f"gpu-{index}.{slot_number}" for slot_number in range(self._slots_per_gpu)]
            held = self._lock_slots(names, len(names))
            if held is not None:
                slot.locks += [release for _, release in held]
                slot.gpus += (index,)
            if len(slot.gpus) == count:
                return slot
        slot.release()
        return None

    def _lock_slots(self, names: Sequence[str], count: int) -> list[tuple[str, Release]] | None:
        held, taken = _lock_all_or_none(self._locks, names, count, self._holder)
        if held is None and self.runs_beside and isinstance(self._locks, FreeFirst):
            self._locks.beside = True
            held, _ = _lock_all_or_none(self._locks, names, count, self._holder)
            self._locks.beside = False
        if held is None:
            holders = tuple(map(self._locks.holder, taken))
            self.shortage = SlotShortage(count, len(names), holders, of_cpus=names[:1] == ["cpu-0"])
        return held

    def _gpus_with_free_memory(self) -> list[Gpu]:
        if not self._min_free_bytes:
            return self.gpus
        known = {gpu.index for gpu in self.gpus}
        return [gpu for gpu in visible_gpus() if gpu.index in known and gpu.free_bytes >= self._min_free_bytes]
