"""The keys of ``cluster`` that only schedulers have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.resources import Resources, parse_memory

_PER_STAGE_KEYS = ("partition", "account", "qos", "constraint", "exclude", "gpu_memory", "options")
"""The keys that ``resources.extra`` may set for one stage, or as a function of the axes."""


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """Settings of a scheduler; the fields are explained in ``conf/cluster/slurm.yaml`` and ``lsf.yaml``.

    ``gpu_memory`` and the values of ``gpu_types`` in bytes, times in seconds; ``jobs_per_task`` is None for what
    ``fuse`` of a study says.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: tuple[str, ...] = ()
    gpu_memory: int | None = None
    gpu_types: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    jobs_per_task: int | None = None
    throttle: int | None = None
    max_submitted: int | None = None
    setup: tuple[str, ...] = ()
    wrapper: str | None = None
    python: str | None = None
    mail: str | None = None
    margin_s: int = 300
    warning_s: int = 90
    keeper: bool = True
    settle_s: int = 60
    query_timeout_s: int = 10

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> SchedulerSettings:
        """Read the scheduler's keys of ``cluster``.

        Raises UsageError, which names the key, for a value that is not valid.
        """
        types = settings.get("gpu_types") or {}
        if not isinstance(types, Mapping):
            raise UsageError("cluster.gpu_types: expected a mapping from names to memory, e.g. {a100: 40GB}")
        return cls(
            **{key: _parse_text(settings, key) for key in ("partition", "account", "qos", "constraint")},
            **{key: _parse_text(settings, key) for key in ("wrapper", "python", "mail")},
            exclude=_parse_texts(settings, "exclude"),
            setup=_parse_texts(settings, "setup"),
            gpu_memory=None
            if settings.get("gpu_memory") is None
            else parse_memory(settings["gpu_memory"], "gpu_memory"),
            gpu_types={str(name): parse_memory(size, f"cluster.gpu_types.{name}") for name, size in types.items()},
            options=_parse_options(settings),
            jobs_per_task=_parse_count(settings, "jobs_per_task", None),
            throttle=_parse_count(settings, "throttle", None),
            max_submitted=_parse_count(settings, "max_submitted", None, minimum=2),
            margin_s=_parse_count(settings, "margin_s", 300, minimum=0) or 0,
            warning_s=_parse_count(settings, "warning_s", 90) or 90,
            keeper=bool(settings.get("keeper", True)),
            settle_s=_parse_count(settings, "settle_s", 60) or 60,
            query_timeout_s=_parse_count(settings, "query_timeout_s", 10) or 10,
        )

    def for_resources(self, resources: Resources) -> SchedulerSettings:
        """Return the settings for jobs that change some of them in ``resources.extra``."""
        extra = resources.extra
        for key in extra:
            if key not in _PER_STAGE_KEYS:
                raise UsageError(f"resources.extra.{key}: unknown key{did_you_mean(key, _PER_STAGE_KEYS)}")
        parsed = SchedulerSettings.parse(extra)
        return replace(self, **{key: getattr(parsed, key) for key in extra})

    def choose_gpu_type(self) -> str | None:
        """The smallest type of GPU that has the memory asked for.

        None if no memory is asked for, or no types are named.

        Raises UsageError if no type has so much.
        """
        wanted = self.gpu_memory
        if wanted is None or not self.gpu_types:
            return None
        enough = [name for name, size in self.gpu_types.items() if size >= wanted]
        if not enough:
            known = ", ".join(f"{name} {size / 1024**3:g}GB" for name, size in self.gpu_types.items())
            raise UsageError(f"cluster.gpu_memory: no GPU has {wanted / 1024**3:g}GB; cluster.gpu_types: {known}")
        return min(enough, key=lambda name: self.gpu_types[name])

    def larger_gpu_memory(self, steps: int) -> int | None:
        """The memory in bytes of the type of GPU that is so many sizes larger than the type asked for.

        The memory of the largest type if there are fewer, or if no memory is asked for, because the job may have had
        any type then. None if no types are named.
        """
        if not self.gpu_types:
            return None
        largest = max(self.gpu_types.values())
        asked = largest if self.gpu_memory is None else self.gpu_memory
        large_enough = sorted(size for size in set(self.gpu_types.values()) if size >= asked)
        return [*large_enough, largest][min(steps, len(large_enough))]


def _parse_text(settings: Mapping[str, Any], key: str) -> str | None:
    value = settings.get(key)
    if value is not None and (not isinstance(value, str | int) or isinstance(value, bool) or "\n" in str(value)):
        raise UsageError(f"cluster.{key}: {value!r} is not a string of one line")
    return None if value is None or value == "" else str(value)


def _parse_texts(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = settings.get(key) or ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UsageError(f"cluster.{key}: {value!r} is not a list; write [{value}]")
    return tuple(map(str, value))


def _parse_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    value = settings.get("options") or {}
    if not isinstance(value, Mapping):
        raise UsageError(f"cluster.options: {value!r} is not a mapping of options, e.g. {{reservation: course}}")
    return {str(key): option for key, option in value.items()}


def _parse_count(settings: Mapping[str, Any], key: str, default: int | None, minimum: int = 1) -> int | None:
    value = settings.get(key, default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < minimum):
        raise UsageError(f"cluster.{key}: {value!r} is not a whole number of at least {minimum}")
    return value
