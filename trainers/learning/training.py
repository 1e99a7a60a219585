"""Trains a network with Lightning and predicts with it; both continue from the files in the job's folder."""

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

from seedfold.jobs.errors import count_noun
from seedfold.jobs.work import ConfigFailure, RunInterrupted, Work
from seedfold.trainers.data.batches import EvaluationBatches, Position, TrainingBlocks
from seedfold.trainers.data.job_data import JobData
from seedfold.trainers.data.samples import Floats, Indices, Samples
from seedfold.trainers.data.sampling import make_order
from seedfold.trainers.learning.checkpoint_files import (
    Checkpoints,
    DamagedCheckpointError,
    FinishedFit,
    load_checkpoint,
)
from seedfold.trainers.learning.classifier import Classifier
from seedfold.trainers.learning.learner import Learner, TrainingRecipe
from seedfold.trainers.learning.loggers import make_loggers
from seedfold.trainers.learning.losses import HeadsLoss
from seedfold.trainers.learning.segmenter import Segmenter, check_mask_metrics
from seedfold.trainers.learning.training_state import Checkpointer, TrainingProgress, refuse_after
from seedfold.trainers.learning.validation import check_metrics
from seedfold.trainers.setup.object_builder import build
from seedfold.trainers.setup.randomness import derive_seed, seed_everything
from seedfold.trainers.setup.ranks import SINGLE_RANK, Ranks
from seedfold.trainers.setup.settings import CheckpointSettings, PredictSettings, TrainerSettings, micro_batch_halvings

Logits = dict[str, Floats]
# The stream of the seed for the choice of training samples that are scored.
_SCORED_STREAM = 5


def fit(work: Work, network: nn.Module, data: JobData, ranks: Ranks = SINGLE_RANK) -> FinishedFit:
    """Train ``network`` to its end, or continue, and record the finished fit in ``work.folder``.

    All ``ranks`` of the job train together; the first rank writes the files.

    Raises RunInterrupted when asked to stop (after a checkpoint), RunPaused after ``work.pause_after`` epochs,
    NonFiniteFailure, ConfigFailure.
    """
    settings, files = TrainerSettings.from_config(work.config), checkpoint_files(work)
    (check_metrics if data.train.masks is None else check_mask_metrics)(settings.metrics)
    if settings.train_metrics and data.train.masks is not None:
        raise ConfigFailure("trainer.train_metrics: networks that learn masks do not score training samples; use null")
    progress = TrainingProgress.from_state(files.newest_state())
    if not progress.finished:
        refuse_after(work.pause_after, progress)
        _run_training(work, network, data, settings, progress, ranks)
    position = progress.position
    finished = FinishedFit.from_best_epochs(position.epoch, progress.best, progress.heads, tuple(position.history))
    if ranks.is_first:
        files.record_finished(finished)
    return finished


def checkpoint_files(work: Work) -> Checkpoints:
    """Return the files of the job's training."""
    return Checkpoints(work.folder, CheckpointSettings.from_config(work.config).keep)


def _run_training(
    work: Work, network: nn.Module, data: JobData, settings: TrainerSettings, progress: TrainingProgress, ranks: Ranks
) -> None:
    blocks = make_blocks(work.config, data.train, settings, progress.position, ranks)
    recipe = make_recipe(work.config, settings, steps=blocks.steps, ranks=ranks)
    module_class: type[Learner] = Classifier if data.train.masks is None else Segmenter
    module = module_class(network, make_loss(work.config), recipe, progress.position)
    checkpointer = Checkpointer(
        checkpoint_files(work),
        progress,
        every_seconds=CheckpointSettings.from_config(work.config).every_seconds,
        mode=settings.mode,
        stop_requested=work.stop_requested,
        report=work.progress,
        ranks=ranks,
        pause_after=work.pause_after,
    )
    settings = limit_epochs(settings, blocks.count_epochs(settings.max_epochs))
    loggers_of_rank = make_loggers(work) if ranks.is_first else []
    # Lightning validates after as many batches as an epoch had when it asked last.
    options = {"reload_dataloaders_every_n_epochs": int(blocks.has_short_epoch), **_training_devices(ranks)}
    trainer = _make_trainer(settings, work.folder, [*_make_callbacks(settings), checkpointer], loggers_of_rank, options)
    _start_at_epoch(trainer, progress.position.epoch)
    scored = [_validation_batches(data.evaluation_splits[data.validation_split], settings, ranks)]
    if settings.train_metrics:
        rows = draw_scored_rows(len(data.train), settings.train_metrics, int(work.config["seed"]))
        scored.append(EvaluationBatches(data.train.take(rows), settings.eval_batch_size, ranks.share_of(len(rows))))
    try:
        trainer.fit(module, blocks, scored)
    except SIGTERMException as error:  # Lightning raises this between epochs, when the state is saved.
        raise RunInterrupted("terminated between epochs, with a checkpoint") from error


def _validation_batches(samples: Samples, settings: TrainerSettings, ranks: Ranks) -> EvaluationBatches:
    if len(samples) < ranks.count:
        samples_text = count_noun(len(samples), "validation sample")
        raise ConfigFailure(f"resources.gpus: {ranks.count} GPUs for {samples_text}; ask for fewer")
    return EvaluationBatches(samples, settings.eval_batch_size, ranks.share_of(len(samples)))


def draw_scored_rows(count: int, most: int, seed: int) -> Indices:
    """Return the rows of the training samples that are scored after each epoch: all ``count``, or ``most`` of them."""
    if count <= most:
        return np.arange(count)
    generator = np.random.default_rng([seed, _SCORED_STREAM])
    return np.sort(generator.choice(count, most, replace=False))


def limit_epochs(settings: TrainerSettings, epochs: int) -> TrainerSettings:
    """Return the settings with so many epochs at most."""
    return replace(settings, max_epochs=epochs, min_epochs=min(settings.min_epochs, epochs))


def predict(
    work: Work, network: nn.Module, finished: FinishedFit, samples: Samples, ranks: Ranks = SINGLE_RANK
) -> Logits:
    """Return the logits (n, k) float32 of each head for ``samples``, from the weights that ``predict`` asks for.

    If the fit has best weights of each head, these are used. Each of ``ranks`` predicts its share, and all ranks return
    the logits of all samples. Raises DamagedCheckpointError if the weights cannot be read.
    """
    settings, prediction = TrainerSettings.from_config(work.config), PredictSettings.from_config(work.config)
    recipe = make_recipe(work.config, settings, steps=1, tta=prediction.tta)
    module = Classifier(network, make_loss(work.config), recipe, Position())
    # Each process predicts whole batches, so that draws for a batch do not depend on the number of processes.
    size = settings.eval_batch_size
    share = ranks.share_of(-(-len(samples) // size))
    batches = EvaluationBatches(samples, size, slice(share.start * size, share.stop * size))
    module.first_batch = share.start
    trainer = _make_trainer(settings, work.folder, [], [], _prediction_devices(settings, ranks))
    logits: Logits = {}
    for path, heads in Checkpoints(work.folder).heads_by_weights_file(finished, prediction.weights_role).items():
        module.load_state_dict(_read_weights(path))
        outputs = trainer.predict(module, batches) if len(batches) else []
        logits_of_weights = _join_outputs([output for of_rank in ranks.gather(outputs) for output in of_rank])
        logits |= {head: logits_of_weights[head] for head in heads or logits_of_weights}
    return {head: logits[head] for head in logits_of_weights}


def check_weights_readable(work: Work, finished: FinishedFit) -> None:
    """Raise DamagedCheckpointError if the weights to predict from cannot be read."""
    for path in Checkpoints(work.folder).heads_by_weights_file(
        finished, PredictSettings.from_config(work.config).weights_role
    ):
        _read_weights(path)


def _read_weights(path: Path) -> Mapping[str, Any]:
    try:
        weights: Mapping[str, Any] = load_checkpoint(path)["state_dict"]
    except FileNotFoundError as error:
        raise DamagedCheckpointError(f"{path}: does not exist any more") from error
    return weights


def _join_outputs(outputs: list[Any]) -> Logits:
    return {name: np.concatenate([heads[name].numpy() for heads in outputs]) for name in outputs[0]}


def make_blocks(
    config: Mapping[str, Any], train: Samples, settings: TrainerSettings, position: Position, ranks: Ranks = SINGLE_RANK
) -> TrainingBlocks:
    """Return the batches of the epoch that ``position`` is in; raises ConfigFailure if there is none."""
    blocks = TrainingBlocks(
        train,
        make_order(train.targets, config.get("sampling") or {}, int(config["seed"])),
        position,
        batch_size=settings.batch_size,
        drop_last=settings.drop_last,
        batches_per_block=settings.steps_per_execution,
        max_batches=settings.max_steps,
        ranks=ranks,
    )
    if not blocks.steps:
        samples = count_noun(len(train), "sample")
        raise ConfigFailure(f"trainer.batch_size: {settings.batch_size} leaves no batch of {samples}")
    return blocks


def make_loss(config: Mapping[str, Any]) -> HeadsLoss:
    """Build ``loss``."""
    loss = config.get("loss") or {}
    return HeadsLoss(build(loss.get("function"), "loss.function"), loss.get("head_weights"))


def make_recipe(
    config: Mapping[str, Any], settings: TrainerSettings, *, steps: int, tta: int = 1, ranks: Ranks = SINGLE_RANK
) -> TrainingRecipe:
    """Build what says how a network learns; raises ConfigFailure."""
    schedule, augment = config.get("schedule"), config.get("augment")
    if tta > 1 and not augment:
        raise ConfigFailure(
            f"predict.tta: {tta} passes without augmentation are all the same; choose augment=… or predict.tta=1"
        )
    return TrainingRecipe(
        optimizer=build(config.get("optimizer"), "optimizer"),
        schedule=build(schedule, "schedule") if schedule else None,
        steps_per_epoch=steps,
        seed=int(config["seed"]),
        max_steps=settings.max_steps,
        accumulate=settings.accumulate,
        micro_batch=settings.micro_batch,
        halvings=micro_batch_halvings(),
        clip=settings.clip,
        monitor=settings.monitor,
        head_monitor=settings.head_monitor,
        head_mode=settings.head_mode,
        metrics=settings.metrics,
        scores_training=bool(settings.train_metrics),
        augment=build(augment, "augment") if augment else None,
        tta=tta,
        ranks=ranks,
        classes=int(config["task"]["classes"]),
    )


def _training_devices(ranks: Ranks) -> Mapping[str, Any]:
    """Return Lightning's settings for training on the devices of all ranks."""
    if ranks.count == 1:
        return {"devices": 1}
    return {"devices": ranks.count, "strategy": "ddp", "use_distributed_sampler": False, "sync_batchnorm": True}


def _prediction_devices(settings: TrainerSettings, ranks: Ranks) -> Mapping[str, Any]:
    """Return Lightning's settings for predicting on the rank's own device."""
    return {"devices": [ranks.rank] if settings.accelerator == "cuda" else 1}


def _make_trainer(
    settings: TrainerSettings, folder: Path, callbacks: list[Any], loggers: list[Any], options: Mapping[str, Any]
) -> pl.Trainer:
    try:
        return pl.Trainer(
            accelerator=settings.accelerator,
            **options,
            precision=settings.precision,  # type: ignore[arg-type]
            deterministic=settings.deterministic,
            min_epochs=settings.min_epochs,
            max_epochs=settings.max_epochs,
            callbacks=callbacks,
            logger=loggers,
            plugins=[LightningEnvironment()],  # To Lightning, a job is one process, whatever the scheduler sets.
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_checkpointing=bool(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, RuntimeError) as error:
        raise ConfigFailure(f"trainer: {error}") from error


def _start_at_epoch(trainer: pl.Trainer, epoch: int) -> None:
    """Let Lightning count epochs from ``epoch``: its loop is new, but training began earlier."""
    current = trainer.fit_loop.epoch_progress.current
    for stage in ("ready", "started", "processed", "completed"):
        setattr(current, stage, epoch)


def _make_callbacks(settings: TrainerSettings) -> list[Any]:
    callbacks = [build(node, f"trainer.callbacks.{name}") for name, node in settings.callbacks.items() if node]
    if settings.early_stopping:
        callbacks.append(build(settings.early_stopping, "trainer.early_stopping"))
    return callbacks


def make_seeded_network(config: Mapping[str, Any]) -> Any:
    """Seed everything from ``seed`` and build ``model``: a torch module, or an estimator of scikit-learn's kind."""
    seed_everything(int(config["seed"]))
    return build(config.get("model"), "model")


def refuse_own_training(network: nn.Module) -> None:
    """Raise ConfigFailure for a LightningModule that says how it is trained: nothing of that would be used here."""
    for name in ("training_step", "configure_optimizers"):
        own = getattr(type(network), name, None)
        if own is not None and own.__module__.partition(".")[0] not in ("pytorch_lightning", "lightning"):
            raise ConfigFailure(
                f"model: {type(network).__name__} has its own {name}: give its loaders as data (or write run: lightning"
                " if it has its own); task, loss and optimizer are for torch modules that Seedfold trains"
            )


def separate_random_streams(config: Mapping[str, Any], ranks: Ranks) -> None:
    """Give every rank but the first its own random stream from here on, for example for dropout."""
    if not ranks.is_first:
        seed_everything(derive_seed(int(config["seed"]), ranks.rank))


__all__ = ["Logits", "fit", "make_seeded_network", "predict", "separate_random_streams"]
