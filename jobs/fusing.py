"""Which jobs of a stage are trained together in one process, and how many of them: the key ``fuse``.

It says how jobs are trained, not what they compute: it is no part of a job, nor of its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.lazy_dataclasses import dataclass

FUSE = "fuse"
FIT_PREDICT_RUN = "seedfold.trainers.stages.fit_predict.run"
"""The function that can train several jobs together."""
FUSED_FILE = "fused.json"
"""In the folder of a fit that was trained together with others: how many, and what was measured."""
OFF = "off"
_AUTO = "auto"
_MOST = 32
"""The most jobs that are trained together where the study does not say how many."""
_OF_ONE_JOB = ("lr", "weight_decay")
"""Keys of the optimizer in which jobs that train together may differ."""


@dataclass(frozen=True, slots=True)
class Fuse:
    """At most ``most`` jobs are trained together; if ``measured``, only where an epoch shows that this is faster."""

    most: int
    measured: bool

    @classmethod
    def parse(cls, value: object, place: str = FUSE) -> Fuse | None:
        """Read ``off``, ``auto`` or a number; None for ``off``. Raises UsageError, which names ``place``."""
        # YAML reads an unquoted off as false.
        if value is None or value is False or value == OFF:
            return None
        if value == _AUTO:
            return cls(_MOST, measured=True)
        if isinstance(value, bool) or not isinstance(value, int) or value < 2:
            raise UsageError(f"{place}: {value!r} is not one of off, auto, or a whole number of at least 2")
        return cls(value, measured=False)


@dataclass(frozen=True, slots=True)
class FusedFits:
    """What became of jobs that were to be trained together, in words; ``again`` says whether to try it with others."""

    note: str
    again: bool = True


def fuse_key(job: JobDescription) -> str:
    """Return what jobs have in common that may be trained together: all that could change the shape of a training.

    They may differ in seed, fold, loss, sampling, schedule, and in rate and weight decay of the optimizer.
    """
    config = job.config
    same = {key: config.get(key) for key in ("model", "task", "trainer", "augment", "logger", "checkpoint", "predict")}
    optimizer = config.get("optimizer")
    if isinstance(optimizer, Mapping):
        same["optimizer"] = {key: value for key, value in optimizer.items() if key not in _OF_ONE_JOB}
    resources = job.resources.to_dict()
    return canonical_json({"stage": job.stage, "run": job.run, "resources": resources, "config": _to_plain(same)})


def _to_plain(value: Any) -> Any:
    """Plain containers of what may be shared between configurations."""
    if isinstance(value, Mapping):
        return {key: _to_plain(item) for key, item in value.items()}
    return [_to_plain(item) for item in value] if isinstance(value, list | tuple) else value


def fuse_settings(settings: Mapping[str, Any]) -> dict[str, Fuse]:
    """Return how the jobs of each stage are trained together, from the settings of a study; others train alone."""
    parsed = {stage: Fuse.parse(value, f"{FUSE}.{stage}") for stage, value in (settings.get(FUSE) or {}).items()}
    return {stage: fuse for stage, fuse in parsed.items() if fuse is not None}
