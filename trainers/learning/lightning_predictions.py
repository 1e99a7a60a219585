"""Keeps what the ``predict_step`` of a LightningModule returns, if it is a mapping with logits or the like."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedfold.jobs.work import ConfigFailure
from seedfold.results.recording.current_run import current
from seedfold.trainers.learning.lightning_checkpoint import loading_arguments

_OUTPUTS = ("logits", "probabilities", "values")
_TAKEN = (*_OUTPUTS, "target", "sample_id")
_log = logging.getLogger(__name__)


def keep_predictions(trainer: Any, package: str, model: Any, loaders: Mapping[str, Any], weights: str) -> None:
    """Predict each split, from the checkpoint ``weights``, and keep the predictions batch by batch."""
    for split, loader in loaders.items():
        writer = _PredictionWriter(split, trainer, loader)
        callback = sys.modules[package].callbacks.LambdaCallback(on_predict_batch_end=writer.write)
        trainer.callbacks.append(callback)
        known = loading_arguments(trainer.predict, Path(weights))
        trainer.predict(model, dataloaders=loader, ckpt_path=weights, return_predictions=False, **known)
        trainer.callbacks.remove(callback)


class _PredictionWriter:
    def __init__(self, split: str, trainer: Any, loader: Any) -> None:
        self._split, self._trainer = split, trainer
        self._dataset = getattr(loader, "dataset", None)
        self._has_order = _is_in_order(loader)
        self._count = 0
        self._is_told = False

    def write(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int, loader_number: int = 0) -> None:
        """Keep the output of a batch. Raises ConfigFailure where samples cannot be told apart."""
        if not isinstance(outputs, Mapping) or not any(name in outputs for name in _OUTPUTS):
            self._tell(
                f"predict_step returns no mapping with {', '.join(_OUTPUTS)}: nothing is kept of split {self._split}"
            )
            return
        others = sorted(str(name) for name in outputs if name not in _TAKEN)
        kind = next(name for name in _OUTPUTS if name in outputs)
        ids = outputs["sample_id"] if "sample_id" in outputs else self._numbers(len(outputs[kind]))
        if others:
            self._tell(f"of what predict_step returns, {', '.join(others)} is not kept")
        named = {name: outputs[name] for name in (*_OUTPUTS, "target") if name in outputs}
        current().predictions(self._split, sample_id=_to_list(ids), **named)

    def _numbers(self, size: int) -> list[int]:
        """Return the numbers of the batch's samples in the data set; each process predicts every n-th sample.

        Of a part of a data set, such as a fold, they are the numbers in the whole of it.
        """
        if not self._has_order:
            raise ConfigFailure(
                f"predict_step: the loader of split {self._split} shuffles, so its output needs a sample_id"
            )
        self._tell(f"predict_step returns no sample_id: samples of split {self._split} are known by their numbers")
        first, step, rank = self._count, self._trainer.world_size, self._trainer.global_rank
        self._count += size
        return [_number_in_whole(self._dataset, rank + step * place) for place in range(first, first + size)]

    def _tell(self, text: str) -> None:
        if not self._is_told:
            self._is_told = True
            _log.info(text)


def _number_in_whole(dataset: Any, place: int) -> int:
    """Return the number of a sample in the data set that ``torch.utils.data.Subset`` takes a part of."""
    while hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
        place, dataset = int(dataset.indices[place]), dataset.dataset
    return place


def _is_in_order(loader: Any) -> bool:
    from torch.utils.data import SequentialSampler

    return isinstance(getattr(loader, "sampler", None), SequentialSampler)


def _to_list(ids: Any) -> list[Any]:
    return ids.tolist() if hasattr(ids, "tolist") else list(ids)
