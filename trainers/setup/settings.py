"""How a job trains and predicts: ``trainer``, ``checkpoint`` and ``predict`` of the configuration, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.work import MICRO_BATCH_HALVINGS, ConfigFailure
from seedfold.results.store.thumbnails import MOST_THUMBNAILS

MonitorMode = Literal["min", "max"]
WeightsRole = Literal["best", "last"]
KeepPolicy = Literal["last+best", "last", "none", "all"]
"""Which checkpoints stay when a job is done; a number keeps so many of the newest states."""

_ACCELERATORS = ("cpu", "cuda")
_LOSS_METRIC = "loss"


@dataclass(frozen=True)
class TrainerSettings:
    """``trainer``: the length and manner of training. Batches count samples; ``clip`` is the largest gradient norm.

    With ``head_monitor``, ``loss`` or one of ``metrics``, each head keeps the weights of its own best epoch.
    ``train_metrics`` is how many training samples are scored after each epoch.
    """

    max_epochs: int
    batch_size: int
    min_epochs: int = 1
    max_steps: int | None = None
    eval_batch_size: int = 1024
    drop_last: bool = False
    accumulate: int = 1
    micro_batch: int | None = None
    clip: float | None = None
    steps_per_execution: int = 32
    accelerator: str = "cpu"
    precision: str = "32-true"
    threads: int = 1
    deterministic: bool = True
    monitor: str = "val/loss"
    mode: MonitorMode = "min"
    head_monitor: str | None = None
    metrics: tuple[str, ...] = ("accuracy",)
    train_metrics: int | None = None
    early_stopping: Mapping[str, Any] | None = None
    callbacks: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "eval_batch_size", "accumulate", "steps_per_execution", "threads"):
            _require_positive(getattr(self, name), f"trainer.{name}")
        for name in ("max_steps", "micro_batch", "train_metrics"):
            if getattr(self, name) is not None:
                _require_positive(getattr(self, name), f"trainer.{name}")
        if self.accelerator not in _ACCELERATORS:
            raise ConfigFailure(f"trainer.accelerator: {self.accelerator!r} is not one of {', '.join(_ACCELERATORS)}")
        _require_one_of(self.mode, get_args(MonitorMode), "trainer.mode")
        if self.min_epochs > self.max_epochs:
            raise ConfigFailure(f"trainer.min_epochs: {self.min_epochs} is more than max_epochs {self.max_epochs}")
        if self.head_monitor is not None:
            _require_one_of(self.head_monitor, (_LOSS_METRIC, *self.metrics), "trainer.head_monitor")

    @property
    def head_mode(self) -> MonitorMode:
        """Whether a smaller or a larger ``head_monitor`` is better: that of a loss, or of any metric."""
        return "min" if self.head_monitor == _LOSS_METRIC else "max"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainerSettings:
        """Read ``config.trainer``; raises ConfigFailure for an unknown key or an impossible value."""
        values = dict(config.get("trainer") or {})
        values["metrics"] = values.get("metrics") or ()
        values["callbacks"] = values.get("callbacks") or {}
        values["precision"] = str(values.get("precision", "32-true"))
        settings = read_settings(cls, values, "trainer")
        return replace(settings, eval_batch_size=max(1, settings.eval_batch_size >> micro_batch_halvings()))


def micro_batch_halvings() -> int:
    """How often the micro-batch is halved, because earlier attempts of the job had too little GPU memory."""
    return int(os.environ.get(MICRO_BATCH_HALVINGS) or 0)


@dataclass(frozen=True)
class CheckpointSettings:
    """``checkpoint``: seconds between checkpoints inside an epoch (None: at its end only) and what is kept."""

    every_seconds: float | None = 600.0
    keep: str | int = "last+best"

    def __post_init__(self) -> None:
        if not is_keep_policy(self.keep):
            raise ConfigFailure(
                f"checkpoint.keep: {self.keep!r} is not one of {', '.join(get_args(KeepPolicy))}, or a number"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CheckpointSettings:
        """Read ``config.checkpoint``; raises ConfigFailure for an unknown key or value."""
        return read_settings(cls, config.get("checkpoint"), "checkpoint")


@dataclass(frozen=True)
class PredictSettings:
    """``predict``: which splits, by the names that the data gives them, from which weights, over how many passes.

    With ``source``, other samples are predicted, and nothing is trained. ``thumbnails`` is of how many of the worst
    samples of each split a small picture is kept.
    """

    splits: tuple[str, ...] = ("val", "test")
    weights: str = "best"
    tta: int = 1
    source: Mapping[str, Any] | None = None
    thumbnails: int = 0

    def __post_init__(self) -> None:
        _require_positive(self.tta, "predict.tta")
        if type(self.thumbnails) is not int or not 0 <= self.thumbnails <= MOST_THUMBNAILS:
            raise ConfigFailure(
                f"predict.thumbnails: {self.thumbnails!r} is not a whole number of 0 to {MOST_THUMBNAILS}"
            )
        if not isinstance(self.weights, str) or (self.weights_path is not None and not self.weights_path.exists()):
            known = ", ".join(get_args(WeightsRole))
            raise ConfigFailure(
                f"predict.weights: {self.weights!r} is not one of {known}, and not a file or folder either"
            )

    @property
    def weights_role(self) -> str:
        """Which of the weights of a training are meant."""
        return "best" if self.weights_path else self.weights

    @property
    def weights_path(self) -> Path | None:
        """The file with weights, or the folder of the study that has trained, where the job shall not train itself."""
        return None if self.weights in get_args(WeightsRole) else Path(self.weights)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PredictSettings:
        """Read ``config.predict``; raises ConfigFailure for an unknown key or value."""
        return read_settings(cls, config.get("predict"), "predict")


def is_keep_policy(keep: object) -> bool:
    """Return whether a value of ``checkpoint.keep`` is known: a name, or a whole number of at least 1."""
    is_number = isinstance(keep, int) and not isinstance(keep, bool) and keep >= 1
    return is_number or keep in get_args(KeepPolicy)


def _require_positive(value: object, key: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigFailure(f"{key}: {value!r} is not a whole number of at least 1")


def _require_one_of(value: object, known: tuple[str, ...], key: str) -> None:
    if value not in known:
        raise ConfigFailure(f"{key}: {value!r} is not one of {', '.join(known)}")
