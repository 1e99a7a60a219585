"""What workers have found of how many jobs of a stage share a GPU well (``cluster.jobs_per_gpu: auto``).

A ``gpu_share`` event says it, without naming any jobs. For each stage and each size of GPU the latest one counts, so
that the next worker begins with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_WHOLE_NUMBERS = ("gpu_bytes", "number", "job_bytes")
_TEXTS = ("stage", "node", "why")


@dataclass(frozen=True, slots=True)
class GpuShare:
    """One finding: ``number`` jobs of a stage share a GPU with ``gpu_bytes`` of memory; a job takes ``job_bytes``.

    ``most`` is the largest number that may be tried, since more did not fit; None for any. ``percent`` says how busy
    ``number`` jobs, or fewer before it grew, kept the GPU; None if that is not known. ``why`` has a reason in words.
    """

    stage: str
    gpu_bytes: int
    number: int
    job_bytes: int
    percent: float | None = None
    most: int | None = None
    node: str = ""
    why: str = ""
    time: float = 0.0

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> GpuShare:
        """Read a ``gpu_share`` event."""
        fields: dict[str, Any] = {name: event.get(name) for name in (*_TEXTS, *_WHOLE_NUMBERS, "percent", "most")}
        return cls(**fields, time=event["t"])

    def to_details(self) -> dict[str, Any]:
        """Return the details of the event that says this."""
        return {name: getattr(self, name) for name in (*_TEXTS, *_WHOLE_NUMBERS, "percent", "most")}

    def to_text(self) -> str:
        """Return it as one line."""
        jobs = "1 job" if self.number == 1 else f"{self.number} jobs"
        found = (
            [f"one takes up to {_gigabytes(self.job_bytes)} of {_gigabytes(self.gpu_bytes)}"] if self.gpu_bytes else []
        )
        found += [f"it was {self.percent:.0f} % busy"] if self.percent is not None else []
        found += [self.why] if self.why else []
        reason = f" ({', '.join(found)})" if found else ""
        return f"{self.stage}: {jobs} at a time on a GPU{reason}"


@dataclass(slots=True)
class GpuShares:
    """The findings of all workers of a study."""

    latest: dict[tuple[str, int], GpuShare] = field(default_factory=dict)
    """By stage and the memory of the GPU."""

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Add a ``gpu_share`` event to what is known. Of two of the same time, the smaller number counts."""
        share = GpuShare.from_event(event)
        known = self.latest.get((share.stage, share.gpu_bytes))
        if known is None or (share.time, -share.number) > (known.time, -known.number):
            self.latest[share.stage, share.gpu_bytes] = share

    def of_stages(self) -> list[GpuShare]:
        """Return the latest finding of each stage."""
        by_stage: dict[str, GpuShare] = {}
        for share in sorted(self.latest.values(), key=lambda one: one.time):
            by_stage[share.stage] = share
        return list(by_stage.values())


def is_gpu_share(event: Mapping[str, Any]) -> bool:
    """Whether the details of a ``gpu_share`` event are those that this version writes."""
    percent, most = event.get("percent"), event.get("most")
    return (
        all(type(event.get(name)) is str for name in _TEXTS)
        and all(type(event.get(name)) is int and event[name] >= 0 for name in _WHOLE_NUMBERS)
        and event["number"] >= 1
        and (percent is None or (type(percent) in (int, float) and 0 <= percent <= 100))
        and (most is None or (type(most) is int and most >= 1))
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GB"
