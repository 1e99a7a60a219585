"""The configuration group ``cluster``, checked before anything is written: what every executor has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.resources import parse_memory
from seedfold.orchestrator.settings import lsf
from seedfold.orchestrator.settings.scheduler import SchedulerSettings

WarmMode = Literal["auto", "on", "off"]
MpsMode = Literal["auto", "off"]
AUTO = "auto"
_AUTO_MOST_HERE, _AUTO_MOST_OF_TASK = 16, 4
"""The most jobs that ``jobs_per_gpu: auto`` puts on a GPU. A scheduler's task asks for the CPUs and memory of all."""
EXECUTOR_NAMES = {"local": "this machine", "slurm": "SLURM", "lsf": "LSF"}
EXECUTORS = tuple(EXECUTOR_NAMES)
HEARTBEAT_S = 30.0
"""Seconds between two heartbeats of a worker."""
_MIN_SILENT_S = 3 * HEARTBEAT_S


def _parse_number(settings: Mapping[str, Any], key: str, default: float, minimum: float) -> float:
    value = settings.get(key, default)
    # The comparison is false for a value that is not a number.
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= minimum:
        raise UsageError(f"cluster.{key}: {value!r} is not a number of at least {minimum:g}")
    return value


def _parse_count(settings: Mapping[str, Any], key: str) -> int:
    value = settings.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"cluster.{key}: {value!r} is not a whole number of at least 1")
    return value


def _parse_jobs_per_gpu(settings: Mapping[str, Any]) -> int | None:
    if settings.get("jobs_per_gpu") == AUTO:
        return None
    try:
        return _parse_count({"jobs_per_gpu": 1, **settings}, "jobs_per_gpu")
    except UsageError as error:
        raise UsageError(f"{error}, or {AUTO}") from None


def _parse_optional_memory(settings: Mapping[str, Any], key: str) -> int | None:
    return None if settings.get(key) is None else parse_memory(settings[key], f"cluster.{key}")


def _parse_choice(settings: Mapping[str, Any], key: str, default: str, choices: tuple[str, ...]) -> str:
    value = settings.get(key, default)
    # YAML reads an unquoted on or off as true or false.
    value = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    if value not in choices:
        raise UsageError(
            f"cluster.{key}: {value!r} is not one of {', '.join(choices)}{did_you_mean(str(value), choices)}"
        )
    return str(value)


def _parse_bool(settings: Mapping[str, Any], key: str, default: bool) -> bool:
    value = settings.get(key, default)
    if not isinstance(value, bool):
        raise UsageError(f"cluster.{key}: {value!r} is neither true nor false")
    return value


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Settings of an executor; the fields are explained in ``conf/cluster/``.

    ``jobs_per_gpu`` is None for ``auto``, ``min_free_gpu_memory`` and ``gpu_memory_cap`` are in bytes, ``grace_s`` and
    ``silent_s`` in seconds. ``scheduler`` holds the settings that only a scheduler needs, and is None on the local
    machine; ``lsf`` holds the settings that only LSF has.
    """

    executor: str
    slots: int | None
    jobs_per_gpu: int | None
    min_free_gpu_memory: int | None
    gpu_memory_cap: int | None
    warm: str
    grace_s: float
    silent_s: float
    snapshot: bool = True
    mps: str = "off"
    scheduler: SchedulerSettings | None = None
    lsf: lsf.LsfSettings | None = None

    @property
    def most_jobs_per_gpu(self) -> int:
        """How many jobs may share a GPU; with ``auto``, how many at most."""
        if self.jobs_per_gpu is not None:
            return self.jobs_per_gpu
        return self.slots or (_AUTO_MOST_HERE if self.executor == "local" else _AUTO_MOST_OF_TASK)

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> ClusterSettings:
        """Read ``cluster`` of the configuration.

        Raises UsageError, which names the key, for a value that is not valid.
        """
        executor = _parse_choice(settings, "executor", "local", EXECUTORS)
        known = known_keys(executor)
        for key in settings:
            if key not in known:
                raise UsageError(f"cluster.{key}: unknown key{did_you_mean(key, known)}; known: {', '.join(known)}")
        return cls(
            executor=executor,
            slots=None if settings.get("slots") is None else _parse_count(settings, "slots"),
            jobs_per_gpu=_parse_jobs_per_gpu(settings),
            min_free_gpu_memory=_parse_optional_memory(settings, "min_free_gpu_memory"),
            gpu_memory_cap=_parse_optional_memory(settings, "gpu_memory_cap"),
            warm=_parse_choice(settings, "warm", "auto", get_args(WarmMode)),
            grace_s=_parse_number(settings, "grace_s", 60, 0),
            silent_s=_parse_number(settings, "silent_s", 900, _MIN_SILENT_S),
            snapshot=_parse_bool(settings, "snapshot", True),
            mps=_parse_choice(settings, "mps", "off", get_args(MpsMode)),
            scheduler=None if executor == "local" else SchedulerSettings.parse(settings),
            lsf=lsf.LsfSettings.parse(settings) if executor == "lsf" else None,
        )


def read_stored(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings that were stored with a submission as this version accepts them.

    Earlier versions accepted a shorter ``silent_s``.
    """
    silent_s = settings.get("silent_s")
    if isinstance(silent_s, int | float) and 0 < silent_s < _MIN_SILENT_S:
        return {**settings, "silent_s": _MIN_SILENT_S}
    return settings


def known_keys(executor: str) -> list[str]:
    """The keys that an executor has."""
    known = [*(field.name for field in fields(ClusterSettings) if field.name not in {"scheduler", "lsf"}), "login"]
    if executor != "local":
        known += [field.name for field in fields(SchedulerSettings)]
    return [*known, *lsf.KEYS] if executor == "lsf" else known
