"""Training and prediction of a network with Lightning, continuing from whatever the job's folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import nn

from seedfold.jobs.errors import counted
from seedfold.jobs.work import ConfigFailure, RunInterrupted, Work
from seedfold.trainers.build import build
from seedfold.trainers.checkpointing import Checkpointer, Progress
from seedfold.trainers.checkpoints import LAST, Checkpoints, DamagedCheckpoint, Fit, load
from seedfold.trainers.data.batches import EvaluationBatches, Position, TrainingBlocks
from seedfold.trainers.data.loading import JobData
from seedfold.trainers.data.samples import Floats, Samples
from seedfold.trainers.data.sampling import order
from seedfold.trainers.loggers import loggers
from seedfold.trainers.losses import HeadsLoss
from seedfold.trainers.module import Classifier, Recipe
from seedfold.trainers.randomness import seed_everything
from seedfold.trainers.settings import CheckpointSettings, PredictSettings, TrainerSettings
from seedfold.trainers.validation import check_metrics

Logits = dict[str, Floats]


def fit(work: Work, network: nn.Module, data: JobData) -> Fit:
    """Train ``network`` to its end, or continue, and record the finished fit in ``work.folder``.

    Raises RunInterrupted when asked to stop (after a checkpoint), NonFiniteFailure, ConfigFailure.
    """
    settings, files = TrainerSettings.of(work.config), Checkpoints(work.folder)
    check_metrics(settings.metrics)
    progress = Progress.of(files.newest_state())
    if not progress.finished:
        _train(work, network, data, settings, progress)
    position = progress.position
    best = progress.best
    weights = {"last": LAST} | ({"best": best.file} if best else {})
    finished = Fit(position.epoch, best, weights, tuple(position.history))
    files.finish(finished)
    return finished


def _train(work: Work, network: nn.Module, data: JobData, settings: TrainerSettings, progress: Progress) -> None:
    blocks = _blocks(work.config, data.train, settings, progress.position)
    module = _module(work.config, network, settings, progress.position, steps=blocks.steps)
    checkpointer = Checkpointer(
        Checkpoints(work.folder),
        progress,
        every_seconds=CheckpointSettings.of(work.config).every_seconds,
        mode=settings.mode,
        stop_requested=work.stop_requested,
        report=work.progress,
    )
    settings = _within_steps(settings, blocks.epochs(settings.max_epochs))
    trainer = _trainer(settings, work.folder, [*_callbacks(settings), checkpointer], loggers(work))
    _begin_at(trainer, progress.position.epoch)
    try:
        trainer.fit(module, blocks, EvaluationBatches(data.evaluated["val"], settings.eval_batch_size))
    except SIGTERMException as error:  # Lightning raises it between epochs, when the state is saved
        raise RunInterrupted("terminated between epochs, with a checkpoint") from error


def _within_steps(settings: TrainerSettings, epochs: int) -> TrainerSettings:
    return replace(settings, max_epochs=epochs, min_epochs=min(settings.min_epochs, epochs))


def predict(work: Work, network: nn.Module, finished: Fit, samples: Samples) -> Logits:
    """Return the logits (n, k) float32 of each head for ``samples``, from the weights that ``predict`` asks for.

    Raises DamagedCheckpoint if the weights cannot be read.
    """
    settings, prediction = TrainerSettings.of(work.config), PredictSettings.of(work.config)
    module = _module(work.config, network, settings, Position(), steps=1, tta=prediction.tta)
    path = Checkpoints(work.folder).weights(finished, prediction.weights)
    module.load_state_dict(_read_weights(path))
    trainer = _trainer(settings, work.folder, [], [])
    outputs = trainer.predict(module, EvaluationBatches(samples, settings.eval_batch_size))
    return _joined(outputs or [])


def check_weights(work: Work, finished: Fit) -> None:
    """Raise DamagedCheckpoint if the weights to predict from cannot be read."""
    path = Checkpoints(work.folder).weights(finished, PredictSettings.of(work.config).weights)
    _read_weights(path)


def _read_weights(path: Path) -> Mapping[str, Any]:
    try:
        weights: Mapping[str, Any] = load(path)["state_dict"]
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"{path}: is not there any more") from error
    return weights


def _joined(outputs: list[Any]) -> Logits:
    return {name: np.concatenate([heads[name].numpy() for heads in outputs]) for name in outputs[0]}


def _blocks(config: Mapping[str, Any], train: Samples, settings: TrainerSettings, position: Position) -> TrainingBlocks:
    blocks = TrainingBlocks(
        train,
        order(train.targets, config.get("sampling") or {}, int(config["seed"])),
        position,
        batch_size=settings.batch_size,
        drop_last=settings.drop_last,
        block=settings.steps_per_execution,
        most=settings.max_steps,
    )
    if not blocks.steps:
        samples = counted(len(train), "sample")
        raise ConfigFailure(f"trainer.batch_size: {settings.batch_size} leaves no batch of {samples}")
    return blocks


def _module(
    config: Mapping[str, Any],
    network: nn.Module,
    settings: TrainerSettings,
    position: Position,
    *,
    steps: int,
    tta: int = 1,
) -> Classifier:
    loss = config.get("loss") or {}
    schedule, augment = config.get("schedule"), config.get("augment")
    recipe = Recipe(
        optimizer=build(config.get("optimizer"), "optimizer"),
        schedule=build(schedule, "schedule") if schedule else None,
        steps=steps,
        seed=int(config["seed"]),
        accumulate=settings.accumulate,
        clip=settings.clip,
        monitor=settings.monitor,
        metrics=settings.metrics,
        augment=build(augment, "augment") if augment else None,
        tta=tta,
    )
    if tta > 1 and recipe.augment is None:
        raise ConfigFailure(f"predict.tta: {tta} passes without augmentation are all alike; choose augment=… or tta 1")
    function = build(loss.get("function"), "loss.function")
    return Classifier(network, HeadsLoss(function, loss.get("head_weights")), recipe, position)


def _trainer(settings: TrainerSettings, folder: Path, callbacks: list[Any], loggers: list[Any]) -> pl.Trainer:
    try:
        return pl.Trainer(
            accelerator=settings.accelerator,
            devices=1,
            precision=settings.precision,  # type: ignore[arg-type]
            deterministic=settings.deterministic,
            min_epochs=settings.min_epochs,
            max_epochs=settings.max_epochs,
            callbacks=callbacks,
            logger=loggers,
            plugins=[LightningEnvironment()],  # a job is one process, whatever the scheduler's variables say
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_checkpointing=bool(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, RuntimeError) as error:
        raise ConfigFailure(f"trainer: {error}") from error


def _begin_at(trainer: pl.Trainer, epoch: int) -> None:
    """Let Lightning count epochs from ``epoch``: its loop is new, the training is not."""
    current = trainer.fit_loop.epoch_progress.current
    for stage in ("ready", "started", "processed", "completed"):
        setattr(current, stage, epoch)


def _callbacks(settings: TrainerSettings) -> list[Any]:
    callbacks = [build(node, f"trainer.callbacks.{name}") for name, node in settings.callbacks.items() if node]
    if settings.early_stopping:
        callbacks.append(build(settings.early_stopping, "trainer.early_stopping"))
    return callbacks


def seeded_network(config: Mapping[str, Any]) -> Any:
    """Seed everything from ``seed`` and build ``model``: a torch module, or an estimator of scikit-learn's kind."""
    seed_everything(int(config["seed"]))
    return build(config.get("model"), "model")


__all__ = ["Logits", "fit", "predict", "seeded_network"]
