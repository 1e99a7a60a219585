"""The configuration group ``cluster``, checked before anything is written: what every executor has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.resources import parse_memory
from seedfold.orchestrator.settings import lsf
from seedfold.orchestrator.settings.scheduler import Batch

Warm = Literal["auto", "on", "off"]
EXECUTORS = ("local", "slurm", "lsf")


def _number(given: Mapping[str, Any], key: str, default: float, least: float) -> float:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
        raise UsageError(f"cluster.{key}: {value!r} is no number of at least {least:g}")
    return value


def _count(given: Mapping[str, Any], key: str) -> int:
    value = given.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"cluster.{key}: {value!r} is no whole number of at least 1")
    return value


def _memory(given: Mapping[str, Any], key: str) -> int | None:
    return None if given.get(key) is None else parse_memory(given[key], f"cluster.{key}")


def _choice(given: Mapping[str, Any], key: str, default: str, known: tuple[str, ...]) -> str:
    value = given.get(key, default)
    # YAML reads a bare on or off as a truth value.
    value = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    if value not in known:
        raise UsageError(f"cluster.{key}: {value!r} is none of {', '.join(known)}{did_you_mean(str(value), known)}")
    return str(value)


def _truth(given: Mapping[str, Any], key: str, default: bool) -> bool:
    value = given.get(key, default)
    if not isinstance(value, bool):
        raise UsageError(f"cluster.{key}: {value!r} is neither true nor false")
    return value


@dataclass(frozen=True, slots=True)
class Cluster:
    """Settings of an executor; the fields are explained in ``conf/cluster/``.

    ``min_free_gpu_memory`` and ``gpu_memory_cap`` in bytes, ``grace_s`` and ``silent_s`` in seconds. ``batch`` is what
    a scheduler needs beside, None on the local machine; ``lsf`` what only LSF has.
    """

    executor: str
    slots: int | None
    jobs_per_gpu: int
    min_free_gpu_memory: int | None
    gpu_memory_cap: int | None
    warm: str
    grace_s: float
    silent_s: float
    snapshot: bool = True
    batch: Batch | None = None
    lsf: lsf.LsfSettings | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Cluster:
        """Read ``cluster`` of the configuration. Raises UsageError, naming the key, for whatever cannot be."""
        executor = _choice(given, "executor", "local", EXECUTORS)
        known = known_keys(executor)
        for key in given:
            if key not in known:
                raise UsageError(f"cluster.{key}: unknown key{did_you_mean(key, known)}; known: {', '.join(known)}")
        return cls(
            executor=executor,
            slots=None if given.get("slots") is None else _count(given, "slots"),
            jobs_per_gpu=_count({"jobs_per_gpu": 1, **given}, "jobs_per_gpu"),
            min_free_gpu_memory=_memory(given, "min_free_gpu_memory"),
            gpu_memory_cap=_memory(given, "gpu_memory_cap"),
            warm=_choice(given, "warm", "auto", get_args(Warm)),
            grace_s=_number(given, "grace_s", 60, 0),
            silent_s=_number(given, "silent_s", 900, 1),
            snapshot=_truth(given, "snapshot", True),
            batch=None if executor == "local" else Batch.parse(given),
            lsf=lsf.LsfSettings.parse(given) if executor == "lsf" else None,
        )


def known_keys(executor: str) -> list[str]:
    """The keys that an executor has."""
    known = [*(field.name for field in fields(Cluster) if field.name not in {"batch", "lsf"}), "login"]
    if executor != "local":
        known += [field.name for field in fields(Batch)]
    return [*known, *lsf.KEYS] if executor == "lsf" else known
