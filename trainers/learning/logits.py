"""Reads the output of a network as logits by head. A wrong shape is an error of one line."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.learning.validation import MAIN_HEAD

Heads = dict[str, Tensor]


def to_logits_by_head(output: object, samples: int, classes: int | None) -> Heads:
    """Return the logits (n, k) of each head; the only head of a network has the name `MAIN_HEAD`.

    ``samples`` is n and ``classes`` is k; for two classes, k may be 1. With None, shapes are not checked. Raises
    ConfigFailure for a wrong shape.
    """
    if not isinstance(output, Tensor | Mapping):
        raise ConfigFailure(
            f"model: returns {type(output).__name__}; return logits (samples, classes), or a mapping of heads to logits"
        )
    heads = {MAIN_HEAD: output} if isinstance(output, Tensor) else dict(output)
    if classes is not None:
        for name, logits in heads.items():
            _check_shape(name, tuple(logits.shape), samples, classes)
    return {name: logits if logits.ndim == 2 else logits.reshape(-1, 1) for name, logits in heads.items()}


def _check_shape(head: str, shape: tuple[int, ...], samples: int, classes: int) -> None:
    allowed_shapes = [(samples, classes), *([(samples, 1), (samples,)] if classes == 2 else [])]
    if shape not in allowed_shapes:
        head_text = "" if head == MAIN_HEAD else f" in head {head!r}"
        shapes_text = " or ".join(map(str, allowed_shapes))
        raise ConfigFailure(
            f"model: returns shape {shape}{head_text} for {samples} samples of {classes} classes; "
            f"return logits {shapes_text}"
        )
