"""Saves and restores everything that the rest of a training depends on.

A full state holds weights, optimizer, schedule, precision, callbacks, position (with loss sum and metric history),
best epoch and all random states. Training that is killed at any moment and started again continues from the newest
state. It ends with the same bits as training without interruption (on the CPU, or on a GPU with deterministic
algorithms).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from seedfold.jobs.work import RunInterrupted, RunPaused
from seedfold.trainers.data.batches import Position
from seedfold.trainers.learning.checkpoint_files import BestEpoch, Checkpoints, State
from seedfold.trainers.learning.learner import Learner, monitored_value
from seedfold.trainers.learning.metric_history import record_epoch
from seedfold.trainers.setup.randomness import RandomState, get_random_state, set_random_state
from seedfold.trainers.setup.ranks import SINGLE_RANK, Ranks
from seedfold.trainers.setup.settings import MonitorMode

_CONTINUE, _SAVE, _STOP = range(3)
_log = logging.getLogger(__name__)


@dataclass
class TrainingProgress:
    """The values of a state file that are not tensors; empty at the beginning. Training continues from ``state``."""

    position: Position = field(default_factory=Position)
    best: BestEpoch | None = None
    heads: dict[str, BestEpoch] = field(default_factory=dict)
    finished: bool = False
    state: State | None = None

    @classmethod
    def from_state(cls, state: State | None) -> TrainingProgress:
        """Read the position from a full state; without a state, begin."""
        if state is None:
            return cls()
        best = state["best"] and BestEpoch(**state["best"])
        heads = {head: BestEpoch(**best_of_head) for head, best_of_head in state.get("heads", {}).items()}
        return cls(Position(**state["position"]), best, heads, state["finished"], state)

    @property
    def best_epochs(self) -> tuple[BestEpoch, ...]:
        """Return the best epoch of the whole network and those of the heads."""
        return (*([] if self.best is None else [self.best]), *self.heads.values())


class Checkpointer(Checkpoint):
    """Saves after every epoch, every ``every_seconds`` in between, and when a stop is requested.

    After ``pause_after`` epochs it saves and pauses the training, unless that is its end.

    Lightning runs checkpoint callbacks after all others, so that a state saved at the end of an epoch contains
    the decisions of early stopping and the schedule.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        progress: TrainingProgress,
        *,
        every_seconds: float | None,
        mode: MonitorMode,
        stop_requested: Callable[[], bool],
        report: Callable[[int, int], None],
        ranks: Ranks = SINGLE_RANK,
        pause_after: int | None = None,
    ) -> None:
        self._ranks, self._pause_after = ranks, pause_after
        self._checkpoints, self._progress = checkpoints, progress
        self._every_seconds, self._mode = every_seconds, mode
        self._stop_requested, self._report = stop_requested, report
        self._previous_best = progress.best_epochs
        self._saved_at = time.monotonic()
        self._trainer: pl.Trainer
        self._module: Learner

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continue from the newest state, if there is one; from here on, check after every step whether to save."""
        assert isinstance(pl_module, Learner)
        self._trainer, self._module = trainer, pl_module
        pl_module.after_step = self._after_step
        if self._progress.state is not None:
            if self._ranks.is_first:
                _tell_differences(self._progress.state.get("made_with", {}), _made_with(trainer, self._ranks))
            _restore_state(trainer, pl_module, self._progress.state)
            set_random_state(_random_state_of(self._progress.state, self._ranks))
            self._progress.state = None

    def _after_step(self) -> None:
        action = self._ranks.value_of_first(self._requested_action())
        if action:
            self._save_state()
        if action == _STOP:
            raise RunInterrupted(f"stopped in epoch {self._progress.position.epoch}, with a checkpoint")

    def _requested_action(self) -> int:
        if self._stop_requested():
            return _STOP
        is_due = self._every_seconds is not None and time.monotonic() - self._saved_at >= self._every_seconds
        return _SAVE if is_due else _CONTINUE

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights of a new best epoch, save, and stop between epochs if asked to."""
        position = self._progress.position
        self._update_best(position.history[-1])
        if self._ranks.is_first:
            record_epoch(position.history[-1])
        self._progress.finished = is_finished(
            trainer.should_stop, position.epoch, trainer.min_epochs or 1, trainer.max_epochs or 0
        )
        self._save_state()
        self._report(position.epoch, trainer.max_epochs or 0)
        if self._progress.finished:
            return
        refuse_after(self._pause_after, self._progress)
        if self._ranks.value_of_first(self._stop_requested()):
            raise RunInterrupted(f"stopped after epoch {position.epoch - 1}, with a checkpoint")

    def _update_best(self, row: Mapping[str, float]) -> None:
        progress, epoch = self._progress, self._progress.position.epoch - 1
        value = monitored_value(row, self._module.recipe.monitor)
        progress.best = better_epoch(progress.best, epoch, value, self._mode)
        for head, head_value in self._module.head_monitor_values(row).items():
            progress.heads[head] = better_epoch(
                progress.heads.get(head), epoch, head_value, self._module.recipe.head_mode
            )
        if self._ranks.is_first and any(best.epoch == epoch for best in progress.best_epochs):
            self._checkpoints.save_best(epoch, value, self._module.state_dict())

    def _save_state(self) -> None:
        self._module.update_loss_sum()
        random = self._ranks.gather(get_random_state())
        if self._ranks.is_first:
            state = _make_state(self._trainer, self._module, self._progress, random)
            self._checkpoints.save_state(state | {"made_with": _made_with(self._trainer, self._ranks)})
            self._checkpoints.remove_old_best(*self._progress.best_epochs, *self._previous_best)
        self._previous_best = self._progress.best_epochs
        self._saved_at = time.monotonic()
        # All ranks wait until the state is on disk.
        self._ranks.value_of_first(_CONTINUE)


def refuse_after(pause_after: int | None, progress: TrainingProgress) -> None:
    """Raise RunPaused if a training has had so many epochs; None lets it train to its end."""
    position = progress.position
    if pause_after is not None and position.epoch >= pause_after and not position.step:
        raise RunPaused(position.epoch, {key: value for key, value in position.history[-1].items() if key != "epoch"})


def better_epoch(best: BestEpoch | None, epoch: int, value: float, mode: MonitorMode) -> BestEpoch:
    """Return the best epoch so far: ``best``, or this one if its monitored value is better."""
    if best is None or (value < best.value if mode == "min" else value > best.value):
        return BestEpoch.for_epoch(epoch, value)
    return best


def is_finished(should_stop: bool, epochs: int, fewest: int, most: int) -> bool:
    """Whether a training ends after so many epochs; ``should_stop`` is what early stopping has decided."""
    return (should_stop and epochs >= fewest) or epochs >= most


def _make_state(
    trainer: pl.Trainer, module: Learner, progress: TrainingProgress, random: Sequence[RandomState]
) -> State:
    return {
        "state_dict": module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "schedules": [entry.scheduler.state_dict() for entry in trainer.lr_scheduler_configs],
        "precision": trainer.precision_plugin.state_dict(),
        "callbacks": _callback_states(trainer),
        "position": asdict(progress.position),
        "best": progress.best and asdict(progress.best),
        "heads": {head: asdict(own) for head, own in progress.heads.items()},
        "should_stop": trainer.should_stop,
        "finished": progress.finished,
        "random": random[0],
        "random_of_others": list(random[1:]),
    }


def _made_with(trainer: pl.Trainer, ranks: Ranks) -> dict[str, str]:
    """What may change between two attempts at a job and decides on the last bits of its training."""
    return {"torch": str(torch.__version__), "devices": str(ranks.count), "precision": str(trainer.precision)}


def _tell_differences(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Warn in the log if a training goes on with other software or devices than it has had so far."""
    changed = [f"{name} {before[name]} before, {now[name]} now" for name in before if before[name] != now.get(name)]
    if changed:
        _log.warning(
            "this training was begun with something else (%s): it goes on, and the last bits of its weights may differ"
            " from those of a training that was not interrupted",
            "; ".join(changed),
        )


def _callback_states(trainer: pl.Trainer) -> dict[str, Any]:
    states = {callback.state_key: callback.state_dict() for callback in trainer.callbacks}  # type: ignore[attr-defined]
    return {key: state for key, state in states.items() if state}


def _restore_state(trainer: pl.Trainer, module: Learner, state: Mapping[str, Any]) -> None:
    module.load_state_dict(state["state_dict"])
    for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    for entry, saved in zip(trainer.lr_scheduler_configs, state["schedules"], strict=True):
        entry.scheduler.load_state_dict(saved)
    trainer.precision_plugin.load_state_dict(state["precision"])
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if callback.state_key in state["callbacks"]:
            callback.load_state_dict(state["callbacks"][callback.state_key])
    trainer.should_stop = state["should_stop"]


def _random_state_of(state: State, ranks: Ranks) -> RandomState:
    """Return the random state of a rank; if the state was saved with fewer ranks, that of the first."""
    states: list[RandomState] = [state["random"], *state.get("random_of_others", ())]
    return states[ranks.rank] if ranks.rank < len(states) else states[0]
