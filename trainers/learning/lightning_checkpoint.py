"""The callback that keeps the full state of a Lightning training where `seedfold.current()` finds it again.

It is mixed into the ``Checkpoint`` callback of the Lightning package that a program uses; see `lightning_parts`.

The state is saved when everything of an epoch is over, learning rates and metrics included, which is just before the
next epoch begins. Random states are part of it, of every process. So a training that is killed and goes on draws the
same batches as one that is left alone, if the order of batches comes from the global random states or from the epoch.
"""

from __future__ import annotations

import inspect
import math
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seedfold.jobs.work import ConfigFailure
from seedfold.results.recording.collect import find_monitor
from seedfold.results.recording.current_run import CurrentRun, current, process_rank

_ASK_EVERY_S = 1.0
_fit_counts: Counter[str] = Counter()
"""How often this process has begun to fit, by the folder of the job."""


def state_file(run: CurrentRun, name: str, number: int) -> Path:
    """Return the checkpoint ``last`` or ``best`` of a fit: a program may train several times, and counts from 1."""
    return run.checkpoints / (f"{name}.ckpt" if number == 1 else f"{name}-{number}.ckpt")


def next_fit_number(run: CurrentRun) -> int:
    """Return the number that the next fit of this process has."""
    return _fit_counts[str(run.folder)] + 1


def loading_arguments(function: Callable[..., Any], checkpoint: Path) -> dict[str, Any]:
    """Return what a method of ``Trainer`` needs to load a checkpoint of this job that holds objects of classes.

    Lightning keeps hyper-parameters as they are, such as a configuration of OmegaConf. The job itself has written them,
    by the code that it runs now.
    """
    if "weights_only" not in inspect.signature(function).parameters or not checkpoint.is_file():
        return {}
    from torch.serialization import get_unsafe_globals_in_checkpoint

    return {"weights_only": False} if get_unsafe_globals_in_checkpoint(checkpoint) else {}


class CheckpointMethods:
    """Keeps ``last`` after every epoch, and when the job has to stop; and ``best``, the best epoch by ``monitor``.

    Without ``monitor``, it is ``monitor`` or ``trainer.monitor`` of the job's configuration, else that of another
    checkpoint callback of the trainer; without any of these there is no ``best``. ``mode`` is min or max; by default
    it is min for losses and errors. When the job has to stop within an epoch, ``last`` is saved there, the process
    ends, and the job goes on later.
    """

    def __init__(self, monitor: str | None = None, mode: str | None = None) -> None:
        super().__init__()
        if mode not in (None, "min", "max"):
            raise ConfigFailure(f"Checkpoint: mode {mode!r} is neither min nor max")
        self.monitor, self.mode = monitor, mode
        self.best_model_path = self.last_model_path = ""
        self.best_model_score: float | None = None
        self._number = 0
        self._folder = ""
        self._is_epoch_over = self._is_improved = self._is_finished = self._is_told = False
        self._random_states: list[Any] = []
        self._states_to_restore: list[Any] = []
        self._next_question = 0.0
        self._old_handler: Any = None

    @property
    def state_key(self) -> str:
        """The name of this callback in checkpoints."""
        return "seedfold.Checkpoint"

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out the files of this fit, and which metric is watched."""
        if stage != "fit":
            return
        run = current()
        self._folder, self._number = str(run.folder), next_fit_number(run)
        _fit_counts[self._folder] += 1
        self._is_finished = False
        self._choose_monitor(trainer, run)
        # Otherwise Lightning raises an exception within an epoch, or the process ends.
        if run.is_job and signal.getsignal(signal.SIGTERM) in (None, signal.SIG_DFL):
            self._old_handler = signal.signal(signal.SIGTERM, self._note_signal)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave signals as they were."""
        if stage == "fit" and self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None

    def _note_signal(self, number: int, frame: object) -> None:
        self._is_told = True

    def _choose_monitor(self, trainer: Any, run: CurrentRun) -> None:
        if self.monitor is None:
            self.monitor, mode = find_monitor(run.config)
            self.mode = self.mode or (mode if self.monitor else None)
        others = [one for one in trainer.checkpoint_callbacks if one is not self and getattr(one, "monitor", None)]
        if self.monitor is None and others:
            self.monitor, self.mode = others[0].monitor, getattr(others[0], "mode", None)
        if self.monitor is not None and self.mode is None:
            self.mode = find_monitor({"monitor": self.monitor})[1]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Train no more where an earlier attempt has trained to the end."""
        self._is_epoch_over = False
        if self._is_finished:
            trainer.should_stop = True
        # From now on the job is not interrupted by a signal.
        self._is_told = current().stop_requested or self._is_told

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Save the state after the last epoch, or put back random states where an earlier attempt has saved it.

        The process ends where a search pauses the job between these epochs.
        """
        if self._states_to_restore:
            _begin_epoch_anew(trainer.fit_loop)
            self._restore_random_states(trainer)
        elif self._is_epoch_over:
            self._save(trainer)
        self._is_epoch_over = False
        if current().is_paused_after(trainer.current_epoch):
            print(f"seedfold: paused by its search after {trainer.current_epoch} epochs", flush=True)
            current().stop()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Put back random states where an earlier attempt was stopped within an epoch."""
        self._restore_random_states(trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save the state and end the process if the job has to stop."""
        if self._must_stop(trainer):
            self._save(trainer)
            print(f"seedfold: asked to stop; saved {self.last_model_path}", flush=True)
            current().stop()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Compare the epoch with the best one so far. Raises ConfigFailure if ``monitor`` is not logged."""
        self._is_epoch_over = True
        value = self._monitored_value(trainer)
        if value is None or math.isnan(value):
            return
        best = self.best_model_score
        if best is None or (value > best if self.mode == "max" else value < best):
            self.best_model_score, self._is_improved = value, True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Save the state of the whole training."""
        if not self._is_finished:
            self._is_finished = True
            self._save(trainer)

    def _monitored_value(self, trainer: Any) -> float | None:
        if self.monitor is None:
            return None
        if self.monitor in trainer.callback_metrics:
            return float(trainer.callback_metrics[self.monitor])
        if (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0:
            logged = ", ".join(sorted(map(str, trainer.callback_metrics))) or "nothing"
            raise ConfigFailure(f"monitor: {self.monitor} is not logged by the model; logged: {logged}")
        return None

    def _must_stop(self, trainer: Any) -> bool:
        """Ask, once a second, whether the job has to stop; all processes get the same answer."""
        now = time.monotonic()
        if process_rank() == 0 and now >= self._next_question:
            self._next_question = now + _ASK_EVERY_S
            self._is_told = self._is_told or current().stop_requested
        if trainer.world_size == 1:
            return self._is_told
        return bool(trainer.strategy.reduce_boolean_decision(self._is_told, all=False))

    def _save(self, trainer: Any) -> None:
        """Write ``last``, and ``best`` if the epoch was the best one; under these names there is never a part."""
        run = current()
        last, best = (state_file(run, name, self._number) for name in ("last", "best"))
        temporary = last.with_name(f".{last.name}.new")
        self.last_model_path = str(last)
        if self._is_improved:
            self.best_model_path = str(best)
        elif self.monitor is None:
            self.best_model_path = str(last)
        self._random_states = _gather_random_states(trainer)
        if trainer.is_global_zero:
            _remove(temporary)
        trainer.save_checkpoint(str(temporary))
        trainer.strategy.barrier("seedfold.Checkpoint")
        if trainer.is_global_zero:
            if self._is_improved:
                _copy(temporary, best)
            _replace(temporary, last)
        trainer.strategy.barrier("seedfold.Checkpoint")
        self._is_improved, self._random_states = False, []

    def state_dict(self) -> dict[str, Any]:
        """Return what a later attempt needs; random states only while this callback saves."""
        return {
            "best_model_score": self.best_model_score,
            "best_model_path": self.best_model_path,
            "is_finished": self._is_finished,
            "folder": self._folder,
            "number": self._number,
            "random_states": self._random_states,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the state of the same fit of the same job; that of another one says nothing about this one."""
        if (state_dict["folder"], state_dict["number"]) != (self._folder, self._number):
            return
        self.best_model_score = state_dict["best_model_score"]
        self.best_model_path = state_dict["best_model_path"]
        self._is_finished = state_dict["is_finished"]
        self._states_to_restore = state_dict["random_states"]

    def _restore_random_states(self, trainer: Any) -> None:
        states, self._states_to_restore = self._states_to_restore, []
        if len(states) == trainer.world_size:
            from seedfold.trainers.setup.randomness import set_random_state

            set_random_state(states[trainer.global_rank])


def _begin_epoch_anew(fit_loop: Any) -> None:
    """Tell Lightning that it is past the restart: an epoch begins as any other, with a new order of batches.

    Otherwise it takes the last epoch for one that has to be ended, and schedulers that wait for a plateau do not step.
    """
    fit_loop.restarting = False
    if hasattr(fit_loop, "on_iteration_done"):
        fit_loop.on_iteration_done()


def _gather_random_states(trainer: Any) -> list[Any]:
    from torch import distributed

    from seedfold.trainers.setup.randomness import get_random_state

    states: list[Any] = [get_random_state()]
    if trainer.world_size > 1 and distributed.is_initialized():
        own, states = states[0], [None] * trainer.world_size
        distributed.all_gather_object(states, own)
    return states


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _replace(source: Path, target: Path) -> None:
    """Rename; some strategies write folders, which cannot take the place of another folder at once."""
    if target.is_dir():
        old = target.with_name(f".{target.name}.old")
        _remove(old)
        target.rename(old)
        source.rename(target)
        _remove(old)
    else:
        source.replace(target)


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.new")
    _remove(temporary)
    if source.is_dir():
        shutil.copytree(source, temporary)
    else:
        try:
            os.link(source, temporary)
        except OSError:  # some file systems have no links
            shutil.copyfile(source, temporary)
    _replace(temporary, target)
