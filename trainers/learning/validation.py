"""Metrics of the validation split, or of training samples, from all logits and targets at once (torchmetrics)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from torch import Tensor
from torchmetrics.functional import classification

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import ConfigFailure

MAIN_HEAD = "main"
"""The name of the only head of a network that returns one tensor."""
VALIDATION, TRAINING = "val", "train"
"""The first part of the names of columns: what was scored."""

_Binary = Callable[[Tensor, Tensor], Tensor]
_Multiclass = Callable[[Tensor, Tensor, int], Tensor]


def _average_metric(function: Callable[..., Tensor], average: str = "macro") -> _Multiclass:
    return lambda scores, targets, classes: function(scores, targets, num_classes=classes, average=average)


_BINARY_METRICS: Mapping[str, _Binary] = {
    "accuracy": classification.binary_accuracy,
    "auroc": classification.binary_auroc,
    "average_precision": classification.binary_average_precision,
    "f1_macro": lambda scores, targets: _MULTICLASS_METRICS["f1_macro"]((scores > 0.5).long(), targets, 2),
    "balanced_accuracy": lambda scores, targets: _MULTICLASS_METRICS["balanced_accuracy"](
        (scores > 0.5).long(), targets, 2
    ),
}
_MULTICLASS_METRICS: Mapping[str, _Multiclass] = {
    "accuracy": _average_metric(classification.multiclass_accuracy, "micro"),
    "balanced_accuracy": _average_metric(classification.multiclass_accuracy),
    "f1_macro": _average_metric(classification.multiclass_f1_score),
    "auroc": _average_metric(classification.multiclass_auroc),
    "average_precision": _average_metric(classification.multiclass_average_precision),
}


def check_metrics(names: Sequence[str]) -> None:
    """Raise ConfigFailure for a metric that is not known."""
    for name in names:
        if name not in _MULTICLASS_METRICS:
            known = ", ".join(_MULTICLASS_METRICS)
            raise ConfigFailure(
                f"trainer.metrics: no metric {name!r}{did_you_mean(name, _MULTICLASS_METRICS)}; known: {known}"
            )


def validation_metrics(
    heads: Mapping[str, Tensor], targets: Tensor, names: Sequence[str], split: str = VALIDATION
) -> dict[str, float]:
    """Return ``{"val/METRIC": value}``, or ``{"val/HEAD/METRIC": value}`` where there are several heads.

    Heads hold logits (n, k); one or two logits are scored as a binary problem with class 1 positive.
    """
    values: dict[str, float] = {}
    for head, logits in heads.items():
        values |= {
            metric_column(head, heads, name, split): float(_compute_metric(name, logits, targets)) for name in names
        }
    return values


def metric_column(head: str, heads: Collection[str], name: str, split: str = VALIDATION) -> str:
    """Return the name of the column of a metric of one head."""
    return f"{split}/{name}" if len(heads) == 1 else f"{split}/{head}/{name}"


def _compute_metric(name: str, logits: Tensor, targets: Tensor) -> Tensor:
    classes = logits.shape[1]
    if classes == 1:
        # In single precision, different logits could have the same probability, and curves would have fewer points.
        return _BINARY_METRICS[name](logits[:, 0].double().sigmoid(), targets)
    if classes == 2:
        return _BINARY_METRICS[name](logits.softmax(1)[:, 1], targets)
    return _MULTICLASS_METRICS[name](logits.softmax(1), targets, classes)
