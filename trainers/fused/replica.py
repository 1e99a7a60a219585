"""One job among those that train together: its data, its place in the training, its files.

What it writes is what it would write if it trained alone, so that it may go on alone, or a job that began alone may go
on together with others.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from seedfold.jobs.work import NonFiniteFailure, Work
from seedfold.trainers.data.batches import EvaluationBatches, TrainingBlocks
from seedfold.trainers.data.job_data import JobData
from seedfold.trainers.fused.stack import Stack
from seedfold.trainers.learning import training
from seedfold.trainers.learning.checkpoint_files import FinishedFit
from seedfold.trainers.learning.classifier import Classifier
from seedfold.trainers.learning.learner import TRAIN_STREAM, monitored_value
from seedfold.trainers.learning.training_state import TrainingProgress, better_epoch, is_finished
from seedfold.trainers.learning.validation import VALIDATION
from seedfold.trainers.setup.object_builder import build
from seedfold.trainers.setup.randomness import RandomState, get_random_state, make_generator
from seedfold.trainers.setup.settings import CheckpointSettings, TrainerSettings

SAVE_EVERY_S = 5.0
"""Seconds between two states that a replica saves after its epochs; alone it saves after each."""
_log = logging.getLogger(__name__)


@dataclass
class Replica:
    """One job that trains together with others. ``random`` has the random states with which its training begins."""

    work: Work
    data: JobData
    settings: TrainerSettings
    module: Classifier
    blocks: TrainingBlocks
    optimizer: Optimizer
    schedule: LRScheduler | None
    progress: TrainingProgress
    random: RandomState
    early_stopping: Any = None
    should_stop: bool = False
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    saved_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.generator = torch.Generator()
        self.generator.set_state(self.random["torch"].cpu())
        self.files = training.checkpoint_files(self.work)
        self._unsaved_best: tuple[int, float, dict[str, Tensor]] | None = None
        self._previous_best = self.progress.best_epochs
        self._batches = self._iterate_batches()

    @classmethod
    def prepare(cls, work: Work, data: JobData) -> Replica:
        """Build the replica as a training alone would begin, or go on; raises what that would raise."""
        network = training.make_seeded_network(work.config)
        settings = TrainerSettings.from_config(work.config)
        progress = TrainingProgress.from_state(training.checkpoint_files(work).newest_state())
        random = get_random_state() if progress.state is None else progress.state["random"]
        blocks = training.make_blocks(work.config, data.train, settings, progress.position)
        recipe = training.make_recipe(work.config, settings, steps=blocks.steps)
        module = Classifier(network, training.make_loss(work.config), recipe, progress.position)
        [optimizer], schedules = module.configure_optimizers()
        early_stopping = build(settings.early_stopping, "trainer.early_stopping") if settings.early_stopping else None
        replica = cls(
            work,
            data,
            training.limit_epochs(settings, blocks.count_epochs(settings.max_epochs)),
            module,
            blocks,
            optimizer,
            schedules[0] if schedules else None,
            progress,
            random,
            early_stopping,
        )
        replica._restore()
        # A schedule warns unless its optimizer has made a step: here the stacked optimizer makes them.
        optimizer._opt_called = True
        return replica

    @property
    def network(self) -> nn.Module:
        """The network that it trains."""
        return self.module.network

    def _restore(self) -> None:
        state = self.progress.state
        if state is None:
            return
        self.module.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizers"][0])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedules"][0])
        if self.early_stopping is not None and self.early_stopping.state_key in state["callbacks"]:
            self.early_stopping.load_state_dict(state["callbacks"][self.early_stopping.state_key])
        self.should_stop = state["should_stop"]
        self.loss_sum += self.progress.position.loss_sum
        self.progress.state = None

    # --- training -------------------------------------------------------------------------------------------------

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Return the next batch of the epoch, augmented."""
        return next(self._batches)

    def _iterate_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of all epochs; `end_epoch` moves the position on between them."""
        while True:
            for block in self.blocks:
                for offset, batch in enumerate(block.batches):
                    inputs, targets = batch.scaled_inputs(), batch.targets
                    if self.module.recipe.augment is not None:
                        numbers = self.module.recipe.seed, TRAIN_STREAM, self.progress.position.epoch
                        stream = make_generator(inputs.device, *numbers, block.first + offset)
                        inputs, targets = self.module.augment_batch(inputs, targets, stream)
                    yield inputs, targets

    @property
    def is_epoch_over(self) -> bool:
        """Whether all batches of the epoch are done, and its end is not."""
        return self.progress.position.step >= self.blocks.steps_of_epoch()

    def record_step(self, loss: Tensor, samples: int) -> None:
        """Add the loss of a step."""
        self.loss_sum += loss * samples
        position = self.progress.position
        position.seen += samples
        position.step += 1

    def end_epoch(self, stack: Stack, row: int) -> None:
        """Validate, decide what is best and whether to stop, and save if it is time to.

        Raises NonFiniteFailure, and ConfigFailure for a metric that is not there.
        """
        self.update_loss_sum()
        position = self.progress.position
        values = {"epoch": position.epoch, "lr": float(self.optimizer.param_groups[0]["lr"])}
        values |= {"train/loss": position.loss_sum / position.seen, **self._validate()}
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(monitored_value(values, self.settings.monitor))
        elif self.schedule is not None:
            self.schedule.step()
        position.next_epoch(values)
        self.loss_sum.zero_()
        self._ask_early_stopping(values)
        self._update_best(values)
        self.progress.finished = is_finished(
            self.should_stop, position.epoch, self.settings.min_epochs, self.settings.max_epochs
        )
        if self.progress.finished or time.monotonic() - self.saved_at >= SAVE_EVERY_S:
            self.save(stack, row)
        self.work.progress(position.epoch, self.settings.max_epochs)

    def update_loss_sum(self) -> None:
        """Bring the loss sum of the position up to date; raises NonFiniteFailure if a loss was not finite."""
        position = self.progress.position
        position.loss_sum = float(self.loss_sum)
        if not math.isfinite(position.loss_sum):
            raise NonFiniteFailure(f"training loss became {position.loss_sum} in epoch {position.epoch}")

    def _validate(self) -> dict[str, float]:
        batches = EvaluationBatches(
            self.data.evaluation_splits[self.data.validation_split], self.settings.eval_batch_size
        )
        self.module.eval()
        with torch.no_grad():
            outputs = [
                ({name: logits.float() for name, logits in self.module(batch.scaled_inputs()).items()}, batch.targets)
                for batch in batches
            ]
            values = self.module.score_outputs(VALIDATION, outputs)
        self.module.train()
        return values

    def _ask_early_stopping(self, values: Mapping[str, float]) -> None:
        """Ask Lightning's early stopping, which takes what it needs to know from its trainer."""
        if self.early_stopping is None:
            return
        metrics = {name: torch.tensor(value) for name, value in values.items() if name not in ("epoch", "lr")}
        trainer = SimpleNamespace(
            callback_metrics=metrics,
            fast_dev_run=False,
            strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision),
            should_stop=self.should_stop,
            current_epoch=int(values["epoch"]),
        )
        self.early_stopping.verbose = False
        self.early_stopping._run_early_stopping_check(trainer)
        self.should_stop = trainer.should_stop

    def _update_best(self, values: Mapping[str, float]) -> None:
        epoch, value = int(values["epoch"]), monitored_value(values, self.settings.monitor)
        self.progress.best = better_epoch(self.progress.best, epoch, value, self.settings.mode)
        if self.progress.best.epoch == epoch:
            self._unsaved_best = epoch, value, self._weights()

    # --- files ----------------------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, Tensor]:
        """Copies of the weights, which are views of all that is stacked."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.module.state_dict().items()}

    def is_due(self) -> bool:
        """Whether a state is to be saved inside an epoch."""
        every_s = CheckpointSettings.from_config(self.work.config).every_seconds
        return every_s is not None and time.monotonic() - self.saved_at >= every_s

    def save(self, stack: Stack, row: int) -> None:
        """Write the best weights and the state to go on from; raises NonFiniteFailure as `update_loss_sum`."""
        self.update_loss_sum()
        if self._unsaved_best is not None:
            self.files.save_best(*self._unsaved_best)
            self._unsaved_best = None
        self.files.save_state(self._make_state(stack.give_optimizer_back(row)))
        self.files.remove_old_best(*self.progress.best_epochs, *self._previous_best)
        self._previous_best = self.progress.best_epochs
        self.saved_at = time.monotonic()

    def _make_state(self, optimizer: Optimizer) -> dict[str, Any]:
        stopping = (
            {} if self.early_stopping is None else {self.early_stopping.state_key: self.early_stopping.state_dict()}
        )
        return {
            "state_dict": self._weights(),
            "optimizers": [optimizer.state_dict()],
            "schedules": [] if self.schedule is None else [self.schedule.state_dict()],
            "precision": {},
            "callbacks": stopping,
            "position": asdict(self.progress.position),
            "best": self.progress.best and asdict(self.progress.best),
            "heads": {},
            "should_stop": self.should_stop,
            "finished": self.progress.finished,
            "random": {**self.random, "torch": self.generator.get_state()},
            "random_of_others": [],
            "made_with": {"torch": str(torch.__version__), "devices": "1", "precision": self.settings.precision},
        }

    def record_finished(self) -> None:
        """Record that the training is finished."""
        position, progress = self.progress.position, self.progress
        history = tuple(position.history)
        self.files.record_finished(FinishedFit.from_best_epochs(position.epoch, progress.best, {}, history))
