"""The job of a LightningModule that trains itself, with the loaders of ``data`` or its own.

Its own ``training_step``, ``validation_step`` and ``configure_optimizers`` run, in a ``Trainer`` with the settings of
``trainer``. Seedfold adds its logger and checkpoints, continues from these, and keeps the output of ``predict_step``.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.recording.collect import find_monitor
from seedfold.results.recording.current_run import current
from seedfold.trainers.learning.lightning_checkpoint import loading_arguments, next_fit_number, state_file
from seedfold.trainers.learning.lightning_data import LightningData
from seedfold.trainers.learning.lightning_parts import PACKAGES, part_class
from seedfold.trainers.learning.lightning_predictions import keep_predictions
from seedfold.trainers.learning.loggers import make_loggers
from seedfold.trainers.setup.object_builder import build
from seedfold.trainers.setup.process_limits import distributed_backend, gpu_memory_cap, prepare_process
from seedfold.trainers.setup.randomness import derive_seed, seed_everything
from seedfold.trainers.setup.ranks import Ranks, run_on_ranks
from seedfold.trainers.setup.settings import CheckpointSettings, PredictSettings, TrainerSettings

PRELOAD = (
    "hydra.utils",
    "numpy",
    "pyarrow.parquet",
    "pytorch_lightning",
    "seedfold.results.store.predictions",
    "seedfold.trainers.stages.lightning",
    "torch",
    "torch._dynamo",
)

_OWN_KEYS = ("threads", "monitor", "monitor_mode")
"""Keys of ``trainer`` that are not Lightning's: CPU threads of the job, and the metric that chooses the best epoch."""
_REFUSED_KEYS = {
    "logger": "choose a logger with the group logger",
    "enable_checkpointing": "checkpoints are how a job goes on after a kill; checkpoint.keep says what stays",
    "num_nodes": "a job runs on one node",
}
_KEPT: Mapping[object, tuple[str, ...]] = {"last+best": ("last", "best"), "last": ("last",), "none": ()}
"""What is kept by ``checkpoint.keep``."""
_ACCELERATORS = {"cpu": "cpu", "cuda": "cuda", "gpu": "cuda"}


def run(work: Work) -> None:
    """Fit (or continue), test and predict; see `seedfold.jobs.work` for what is raised."""
    keep = CheckpointSettings.from_config(work.config).keep
    if keep not in _KEPT:
        raise ConfigFailure(
            f"checkpoint.keep: {keep!r} is for Seedfold's own trainer; a LightningModule has"
            f" {', '.join(map(str, _KEPT))}, and more by a ModelCheckpoint in trainer.callbacks"
        )
    _check_prediction(PredictSettings.from_config(work.config))
    settings = _process_settings(work)
    count = _device_count(work, settings)
    run_on_ranks(count, distributed_backend(settings), work, _run_rank)


def _process_settings(work: Work) -> TrainerSettings:
    """Return the accelerator and threads of the job. Raises ConfigFailure for a device that is not chosen clearly."""
    trainer = work.config.get("trainer") or {}
    name, gpus = trainer.get("accelerator"), work.description.resources.gpus
    if name is None and gpus:
        raise ConfigFailure("trainer.accelerator: the job asks for GPUs; write trainer.accelerator=gpu (or cpu)")
    if (name or "cpu") not in _ACCELERATORS:
        raise ConfigFailure(f"trainer.accelerator: {name!r} is not one of {', '.join(_ACCELERATORS)}")
    accelerator = _ACCELERATORS[name or "cpu"]
    return TrainerSettings(max_epochs=1, batch_size=1, threads=trainer.get("threads", 1), accelerator=accelerator)


def _device_count(work: Work, settings: TrainerSettings) -> int:
    default = max(1, work.description.resources.gpus) if settings.accelerator == "cuda" else 1
    count = (work.config.get("trainer") or {}).get("devices", default)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigFailure(f"trainer.devices: {count!r} is not a number of devices")
    if settings.accelerator == "cuda" and count > default:
        raise ConfigFailure(f"trainer.devices: {count} devices, but resources.gpus is {default}")
    return count


def _check_prediction(settings: PredictSettings) -> None:
    if settings.tta != 1 or settings.source is not None or settings.weights_path is not None or settings.thumbnails:
        raise ConfigFailure(
            "predict: a LightningModule predicts by its own predict_step; give splits and weights alone"
        )


def _run_rank(work: Work, ranks: Ranks) -> None:
    prepare_process(_process_settings(work), gpu_memory_cap(work.config), ranks.rank)
    seed = int(work.config["seed"])
    seed_everything(seed)
    data = LightningData.build(work.config.get("data"))
    seed_everything(seed)
    model = build(work.config.get("model"), "model")
    package = _package_of(model)
    checkpoint = part_class(package, "Checkpoint")(*find_monitor(work.config))
    trainer = _make_trainer(work, package, checkpoint, ranks)
    if ranks.count > 1:
        # Networks are the same in all processes; what is drawn from here on, for example for dropout, is not.
        seed_everything(derive_seed(seed, ranks.rank))
    last = state_file(current(), "last", next_fit_number(current()))
    known = loading_arguments(trainer.fit, last)
    trainer.fit(model, **data.for_fit(), ckpt_path=str(last) if last.exists() else None, **known)
    prediction = PredictSettings.from_config(work.config)
    chosen = checkpoint.best_model_path if prediction.weights_role == "best" else ""
    weights = chosen or str(last)
    if data.has_test(model):
        trainer.test(
            model, **data.for_test(), ckpt_path=weights, verbose=False, **loading_arguments(trainer.test, Path(weights))
        )
    splits = prediction.splits if work.config.get("predict") else ()
    keep_predictions(trainer, package, model, data.loaders_to_predict(model, splits), weights)


def _package_of(model: Any) -> str:
    """Return the package whose LightningModule this is. Raises ConfigFailure if it is none."""
    for package in PACKAGES:
        if package in sys.modules and isinstance(model, sys.modules[package].LightningModule):
            return package
    raise ConfigFailure(
        f"model: {type(model).__name__} is not a LightningModule; a study with data trains one; give a task, and no"
        " data, for a torch module that Seedfold trains"
    )


def _make_trainer(work: Work, package: str, checkpoint: Any, ranks: Ranks) -> Any:
    lightning = sys.modules[package]
    given = {key: value for key, value in (work.config.get("trainer") or {}).items() if key not in _OWN_KEYS}
    _check_keys(given, lightning.Trainer)
    environment = importlib.import_module(f"{package}.plugins.environments").LightningEnvironment
    devices = {"devices": ranks.count, "accelerator": given.get("accelerator", "cpu")}
    if ranks.count > 1:
        devices["strategy"] = given.get("strategy", "ddp")
    named = {
        "default_root_dir": str(current().folder),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **{key: _build_nodes(value, f"trainer.{key}") for key, value in given.items()},
        **devices,
    }
    told = lightning.callbacks.LambdaCallback(
        on_train_epoch_end=lambda trainer, module: work.progress(trainer.current_epoch + 1, trainer.max_epochs or 0)
    )
    named["callbacks"] = [*_as_list(named.get("callbacks")), told, checkpoint]
    named["plugins"] = [*_as_list(named.get("plugins")), environment()]
    named["logger"] = [*(make_loggers(work) if ranks.is_first else []), part_class(package, "Logger")()]
    try:
        return lightning.Trainer(**named)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ConfigFailure(f"trainer: {' '.join(str(error).split())}") from error


def _check_keys(given: Mapping[str, Any], trainer_class: Any) -> None:
    known = [name for name in inspect.signature(trainer_class.__init__).parameters if name != "self"]
    for key in given:
        if key in _REFUSED_KEYS:
            raise ConfigFailure(f"trainer.{key}: {_REFUSED_KEYS[key]}")
        if key not in known:
            raise ConfigFailure(f"trainer.{key}: Lightning's Trainer has no such argument{did_you_mean(key, known)}")


def _as_list(value: Any) -> list[Any]:
    """Return a list of what is one object, several, or several by name."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [one for one in value.values() if one is not None]
    return list(value) if isinstance(value, list | tuple) else [value]


def _build_nodes(value: Any, key: str) -> Any:
    """Build what has a ``_target_``, also in lists and mappings."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, key)
        return {name: _build_nodes(node, f"{key}.{name}") for name, node in value.items()}
    return [_build_nodes(node, key) for node in value] if isinstance(value, list | tuple) else value


def after_publish(work: Work) -> None:
    """Remove the checkpoints that ``checkpoint.keep`` does not keep."""
    keep = _KEPT[CheckpointSettings.from_config(work.config).keep]
    for name in ("last", "best"):
        if name not in keep:
            state_file(current(), name, 1).unlink(missing_ok=True)
