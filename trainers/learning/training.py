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
from seedfold.trainers.data.batches import EvaluationBatches, Position, TrainingBlocks
from seedfold.trainers.data.loading import JobData
from seedfold.trainers.data.samples import Floats, Samples
from seedfold.trainers.data.sampling import order
from seedfold.trainers.learning.checkpoint_files import Checkpoints, DamagedCheckpoint, Fit, load
from seedfold.trainers.learning.classifier import Classifier
from seedfold.trainers.learning.loggers import loggers
from seedfold.trainers.learning.losses import HeadsLoss
from seedfold.trainers.learning.module import Learner, Recipe
from seedfold.trainers.learning.segmenter import Segmenter, check_mask_metrics
from seedfold.trainers.learning.training_state import Checkpointer, Progress
from seedfold.trainers.learning.validation import check_metrics
from seedfold.trainers.setup.build import build
from seedfold.trainers.setup.randomness import seed_everything, stream_seed
from seedfold.trainers.setup.ranks import ALONE, Ranks
from seedfold.trainers.setup.settings import CheckpointSettings, PredictSettings, TrainerSettings

Logits = dict[str, Floats]


def fit(work: Work, network: nn.Module, data: JobData, ranks: Ranks = ALONE) -> Fit:
    """Train ``network`` to its end, or continue, and record the finished fit in ``work.folder``.

    All ``ranks`` of the job do it together; the first writes.

    Raises RunInterrupted when asked to stop (after a checkpoint), NonFiniteFailure, ConfigFailure.
    """
    settings, files = TrainerSettings.of(work.config), Checkpoints(work.folder)
    (check_metrics if data.train.masks is None else check_mask_metrics)(settings.metrics)
    progress = Progress.of(files.newest_state())
    if not progress.finished:
        _train(work, network, data, settings, progress, ranks)
    position = progress.position
    finished = Fit.of(position.epoch, progress.best, progress.heads, tuple(position.history))
    if ranks.first:
        files.finish(finished)
    return finished


def _train(
    work: Work, network: nn.Module, data: JobData, settings: TrainerSettings, progress: Progress, ranks: Ranks
) -> None:
    blocks = _blocks(work.config, data.train, settings, progress.position, ranks)
    recipe = _recipe(work.config, settings, steps=blocks.steps, ranks=ranks)
    kind: type[Learner] = Classifier if data.train.masks is None else Segmenter
    module = kind(network, _loss(work.config), recipe, progress.position)
    checkpointer = Checkpointer(
        Checkpoints(work.folder),
        progress,
        every_seconds=CheckpointSettings.of(work.config).every_seconds,
        mode=settings.mode,
        stop_requested=work.stop_requested,
        report=work.progress,
        ranks=ranks,
    )
    settings = _within_steps(settings, blocks.epochs(settings.max_epochs))
    own_loggers = loggers(work) if ranks.first else []
    trainer = _trainer(settings, work.folder, [*_callbacks(settings), checkpointer], own_loggers, _together(ranks))
    _begin_at(trainer, progress.position.epoch)
    try:
        trainer.fit(module, blocks, _validation(data.evaluated[data.validation], settings, ranks))
    except SIGTERMException as error:  # Lightning raises it between epochs, when the state is saved
        raise RunInterrupted("terminated between epochs, with a checkpoint") from error


def _validation(samples: Samples, settings: TrainerSettings, ranks: Ranks) -> EvaluationBatches:
    if len(samples) < ranks.count:
        there = counted(len(samples), "validation sample")
        raise ConfigFailure(f"resources.gpus: {ranks.count} GPUs for {there}; ask for fewer")
    return EvaluationBatches(samples, settings.eval_batch_size, ranks.share(len(samples)))


def _within_steps(settings: TrainerSettings, epochs: int) -> TrainerSettings:
    return replace(settings, max_epochs=epochs, min_epochs=min(settings.min_epochs, epochs))


def predict(work: Work, network: nn.Module, finished: Fit, samples: Samples, ranks: Ranks = ALONE) -> Logits:
    """Return the logits (n, k) float32 of each head for ``samples``, from the weights that ``predict`` asks for.

    These are the head's own best weights where the fit has them. Each of ``ranks`` predicts its share, and all return
    the whole. Raises DamagedCheckpoint if the weights cannot be read.
    """
    settings, prediction = TrainerSettings.of(work.config), PredictSettings.of(work.config)
    recipe = _recipe(work.config, settings, steps=1, tta=prediction.tta)
    module = Classifier(network, _loss(work.config), recipe, Position())
    # Whole batches: what is drawn for a batch does not depend on how many processes there are.
    size = settings.eval_batch_size
    share = ranks.share(-(-len(samples) // size))
    batches = EvaluationBatches(samples, size, slice(share.start * size, share.stop * size))
    module.first_batch = share.start
    trainer = _trainer(settings, work.folder, [], [], _one_of(settings, ranks))
    logits: Logits = {}
    for path, heads in Checkpoints(work.folder).weights_by_head(finished, prediction.role).items():
        module.load_state_dict(_read_weights(path))
        outputs = trainer.predict(module, batches) if len(batches) else []
        found = _joined([output for of_rank in ranks.gather(outputs) for output in of_rank])
        logits |= {head: found[head] for head in heads or found}
    return {head: logits[head] for head in found}


def check_weights(work: Work, finished: Fit) -> None:
    """Raise DamagedCheckpoint if the weights to predict from cannot be read."""
    for path in Checkpoints(work.folder).weights_by_head(finished, PredictSettings.of(work.config).role):
        _read_weights(path)


def _read_weights(path: Path) -> Mapping[str, Any]:
    try:
        weights: Mapping[str, Any] = load(path)["state_dict"]
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"{path}: is not there any more") from error
    return weights


def _joined(outputs: list[Any]) -> Logits:
    return {name: np.concatenate([heads[name].numpy() for heads in outputs]) for name in outputs[0]}


def _blocks(
    config: Mapping[str, Any], train: Samples, settings: TrainerSettings, position: Position, ranks: Ranks
) -> TrainingBlocks:
    blocks = TrainingBlocks(
        train,
        order(train.targets, config.get("sampling") or {}, int(config["seed"])),
        position,
        batch_size=settings.batch_size,
        drop_last=settings.drop_last,
        block=settings.steps_per_execution,
        most=settings.max_steps,
        ranks=ranks,
    )
    if not blocks.steps:
        samples = counted(len(train), "sample")
        raise ConfigFailure(f"trainer.batch_size: {settings.batch_size} leaves no batch of {samples}")
    return blocks


def _loss(config: Mapping[str, Any]) -> HeadsLoss:
    loss = config.get("loss") or {}
    return HeadsLoss(build(loss.get("function"), "loss.function"), loss.get("head_weights"))


def _recipe(
    config: Mapping[str, Any], settings: TrainerSettings, *, steps: int, tta: int = 1, ranks: Ranks = ALONE
) -> Recipe:
    schedule, augment = config.get("schedule"), config.get("augment")
    if tta > 1 and not augment:
        raise ConfigFailure(f"predict.tta: {tta} passes without augmentation are all alike; choose augment=… or tta 1")
    return Recipe(
        optimizer=build(config.get("optimizer"), "optimizer"),
        schedule=build(schedule, "schedule") if schedule else None,
        steps=steps,
        seed=int(config["seed"]),
        accumulate=settings.accumulate,
        micro_batch=settings.micro_batch,
        clip=settings.clip,
        monitor=settings.monitor,
        head_monitor=settings.head_monitor,
        head_mode=settings.head_mode,
        metrics=settings.metrics,
        augment=build(augment, "augment") if augment else None,
        tta=tta,
        ranks=ranks,
        classes=int(config["task"]["classes"]),
    )


def _together(ranks: Ranks) -> Mapping[str, Any]:
    """Lightning's settings for training on the devices of all ranks."""
    if ranks.count == 1:
        return {"devices": 1}
    return {"devices": ranks.count, "strategy": "ddp", "use_distributed_sampler": False, "sync_batchnorm": True}


def _one_of(settings: TrainerSettings, ranks: Ranks) -> Mapping[str, Any]:
    """Lightning's settings for predicting on the rank's own device."""
    return {"devices": [ranks.rank] if settings.accelerator == "cuda" else 1}


def _trainer(
    settings: TrainerSettings, folder: Path, callbacks: list[Any], loggers: list[Any], devices: Mapping[str, Any]
) -> pl.Trainer:
    try:
        return pl.Trainer(
            accelerator=settings.accelerator,
            **devices,
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


def part_streams(config: Mapping[str, Any], ranks: Ranks) -> None:
    """Have every rank but the first draw from a stream of its own from here on, as dropout does."""
    if not ranks.first:
        seed_everything(stream_seed(int(config["seed"]), ranks.rank))


__all__ = ["Logits", "fit", "part_streams", "predict", "seeded_network"]
