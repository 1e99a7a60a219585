"""Which jobs of a stage are trained together in one process, and how many of them: the key ``fuse``.

It says how jobs are trained, not what they compute: it is no part of a job, nor of its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError

FUSE = "fuse"
FIT_PREDICT_RUN = "seedfold.trainers.stages.fit_predict.run"
"""The function that can train several jobs together."""
FUSED_FILE = "fused.json"
"""In the folder of a fit that was trained together with others: how many, and what was measured."""
OFF = "off"
_AUTO = "auto"
_MOST = 32
"""The most jobs that are trained together where the study does not say how many."""
_SAME = ("model", "task", "trainer", "augment", "logger", "checkpoint", "predict")
"""Keys in which they may not differ; nor may they in the other keys of the optimizer."""
_OF_ONE_JOB = ("lr", "weight_decay")
"""Keys of the optimizer in which jobs that train together may differ."""
_KNOWN: Mapping[str, Any] = {
    "accelerator": "cpu",
    "precision": "32-true",
    "accumulate": 1,
    "micro_batch": None,
    "head_monitor": None,
    "train_metrics": None,
}
"""The only values of ``trainer`` with which networks are trained together. They are the defaults."""


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
    same = {key: config.get(key) for key in _SAME}
    optimizer = config.get("optimizer")
    if isinstance(optimizer, Mapping):
        same["optimizer"] = {key: value for key, value in optimizer.items() if key not in _OF_ONE_JOB}
    resources = job.resources.to_dict()
    return canonical_json({"stage": job.stage, "run": job.run, "resources": resources, "config": _to_plain(same)})


class FuseKeys:
    """The keys of many jobs, whose configurations share most of what they hold."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[Sequence[object], str]] = {}

    def of(self, job: JobDescription) -> str:
        """Return `fuse_key` of a job, computed once for jobs whose configurations share all of it."""
        parts = [*map(job.config.get, (*_SAME, "optimizer")), job.resources]
        place = (job.stage, job.run, *map(id, parts))
        if place not in self._known:
            # The parts are kept, so that no other object gets the id of one of them.
            self._known[place] = parts, fuse_key(job)
        return self._known[place][1]


def _to_plain(value: Any) -> Any:
    """Plain containers of what may be shared between configurations."""
    if isinstance(value, Mapping):
        return {key: _to_plain(item) for key, item in value.items()}
    return [_to_plain(item) for item in value] if isinstance(value, list | tuple) else value


def refusal_of(job: JobDescription) -> str | None:
    """Return why jobs like this one cannot be trained together, as far as their description says; None if they can."""
    if job.run != FIT_PREDICT_RUN:
        return f"fuse is for {FIT_PREDICT_RUN}, not {job.run}"
    return "it asks for a GPU" if job.resources.gpus else None


def config_refusal(config: Mapping[str, Any]) -> str | None:
    """Return why jobs with this configuration cannot be trained together; None if nothing there forbids it."""
    trainer, predict = _mapping(config, "trainer"), _mapping(config, "predict")
    callbacks = {name: node for name, node in _mapping(trainer, "callbacks").items() if node}
    precision = str(trainer.get("precision", _KNOWN["precision"]))
    given = {**_KNOWN, **trainer, "callbacks": callbacks, "precision": precision}
    for key, known in {**_KNOWN, "callbacks": {}}.items():
        if given[key] != known:
            return f"trainer.{key}: {given[key]} is not known to networks that train together"
    if str(_mapping(config, "model").get("_target_")).startswith("sklearn."):
        return "model: an estimator is no network"
    keep = _mapping(config, "checkpoint").get("keep", "last+best")
    if keep not in ("last+best", "last", "none"):
        return f"checkpoint.keep: {keep} keeps a state of each epoch"
    if _mapping(config, "logger").get("_target_"):
        return "logger: a logger follows one job"
    stopping = str(_mapping(trainer, "early_stopping").get("_target_", "EarlyStopping"))
    if stopping.rpartition(".")[2] != "EarlyStopping":
        return f"trainer.early_stopping: {stopping} is not that of Lightning"
    if predict.get("source") or predict.get("weights", "best") not in ("best", "last"):
        return "predict: these jobs only predict"
    return None


def _mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping of a configuration, empty for anything else: the job says by itself what is wrong then."""
    found = config.get(key)
    return found if isinstance(found, Mapping) else {}


def fuse_settings(settings: Mapping[str, Any]) -> dict[str, Fuse]:
    """Return how the jobs of each stage are trained together, from the settings of a study; others train alone."""
    parsed = {stage: Fuse.parse(value, f"{FUSE}.{stage}") for stage, value in (settings.get(FUSE) or {}).items()}
    return {stage: fuse for stage, fuse in parsed.items() if fuse is not None}
